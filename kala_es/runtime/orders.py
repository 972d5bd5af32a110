"""What an actor's facts make the agent do: orders for attempts, with their templates filled in, and cancellations."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from kala_es import limits
from kala_es.dialects import kala
from kala_es.domain import events as e
from kala_es.domain import template
from kala_es.domain.graph import Graph, dependents
from kala_es.domain.ids import SECOND, Instant, JobId
from kala_es.domain.model import Job, JobSpec, RemoteCall, Run
from kala_es.domain.plan import timeout_of
from kala_es.domain.terms import USUAL, AttemptTerms
from kala_es.executor import PLAIN, USUAL_TLS, Confines, Local, Named, Order, Remote, Tls
from kala_es.runtime.order_book import OrderBook


class Orders:
    """Turns facts into orders. `graph` tells a job's dependents to its templates."""

    def __init__(self, book: OrderBook, graph: Callable[[], Graph]) -> None:
        self._book = book
        self._graph = graph

    def act(self, job: Job, events: Sequence[e.JobEvent], position: int) -> None:
        """Order what the facts call for. `job` is the state after them, `position` where the last of them stands."""
        for event in events:
            match event:
                case e.RunStarted() | e.AttemptFailed(retrying=True, retry_at=None) | e.AttemptStarted():
                    run = job.run(event.run)
                    if run is not None:
                        self._book.order(self.order(job, run), position)
                case e.CancelRequested():
                    run = job.run(event.run)
                    if run is not None:
                        self._book.cancel((run.id, run.attempt))

    def order(self, job: Job, run: Run) -> Order:
        """The order for a run's present attempt; one that is refused when a template cannot be filled in."""
        try:
            return self._order(job, run)
        except template.TemplateError as error:
            return _refused(run, f"the template cannot be filled in: {error}")

    def order_again(self, job: Job, run: Run) -> Order:
        """The order of an earlier life of this node, made by what the job is now. It is refused when that is another
        job or a bug is met: nobody else would end the run."""
        if run.started < job.born:
            return _refused(run, "its job was deleted before an agent heard of it")
        try:
            return self.order(job, run)
        except Exception as bug:
            return _refused(run, f"it could not be ordered: {bug!r}")

    def _order(self, job: Job, run: Run) -> Order:
        return Order(
            run=run.id,
            attempt=run.attempt,
            work=self._work(job, run),
            identity=_identity(job, run),
            timeout=timeout_of(job.spec),
            max_output=job.spec.terms.max_output,
            on_max_output=job.spec.terms.on_max_output or "truncate-tail",
        )

    def _work(self, job: Job, run: Run) -> Local | Remote | Named:
        spec = job.spec
        if spec.kind == "named":
            values = self._filled_in(job, tuple(value for _, value in spec.named.config))
            keys = (key for key, _ in spec.named.config)
            return Named(executor=spec.named.executor, config=tuple(zip(keys, values, strict=True)))
        if spec.kind == "remote":
            url, body = self._filled_in(job, (spec.remote.url, spec.remote.body))
            return remote_work(spec, (url, body), kala.run_headers(job.id, run.id))
        (command_line,) = self._filled_in(job, (spec.command,))
        return Local(
            command_line=command_line,
            shell=spec.shell,
            env=spec.env,
            cwd=spec.cwd,
            stdin=spec.stdin,
            confines=_confines(spec.terms),
            success_codes=spec.terms.success_codes or (0,),
        )

    def _filled_in(self, job: Job, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not job.spec.template_delimiters:
            return texts
        return fill_in(job.spec, texts, kala.go_fields(job, dependents(job, self._graph())))


def _refused(run: Run, reason: str) -> Order:
    return Order(run=run.id, attempt=run.attempt, work=Local(command_line=""), refused=reason)


def fill_in(spec: JobSpec, texts: tuple[str, ...], fields: dict[str, template.Value]) -> tuple[str, ...]:
    """Fill in templates. Raises TemplateError."""
    delimiters = template.parse_delimiters(spec.template_delimiters)
    return tuple(template.parse(text, delimiters).render(fields) for text in texts)


def remote_work(spec: JobSpec, texts: tuple[str, str], headers: tuple[tuple[str, str], ...]) -> Remote:
    """The call that a remote job makes. `texts`: its url and body, filled in."""
    call = spec.remote
    own = tuple((name, value) for name, values in call.headers or () for value in values)
    return Remote(
        url=texts[0],
        method=call.method,
        body=texts[1],
        headers=(*own, *headers),
        timeout=call.timeout or limits.REMOTE_TIMEOUT_SECONDS,
        expected_codes=call.expected_codes or (200,),
        lenient=call.lenient and not call.expected_codes,
        expected_body=call.expected_body,
        tls=_tls(call),
        debug=call.debug,
    )


def remote_of_draft(job: JobId, spec: JobSpec, now: Instant) -> Remote:
    """The call by which a remote job's other side is asked whether it wants it. Raises TemplateError."""
    texts = (spec.remote.url, spec.remote.body)
    if spec.template_delimiters:
        draft = Job(id=job, spec=spec, born=now, planned=now, answered=now, next_tick=None)
        filled = fill_in(spec, texts, kala.go_fields(draft, ()))
        texts = (filled[0], filled[1])
    return remote_work(spec, texts, ())


def _tls(call: RemoteCall) -> Tls:
    tls = Tls(
        verify=call.verify_tls,
        ca_file=call.ca_file,
        client_certificate_file=call.client_certificate_file,
        client_key_file=call.client_key_file,
    )
    return USUAL_TLS if tls == USUAL_TLS else tls


def _confines(terms: AttemptTerms) -> Confines:
    if terms == USUAL:
        return PLAIN
    return Confines(
        user=terms.user,
        group=terms.group,
        umask=int(terms.umask, 8) if terms.umask else None,
        nice=terms.nice,
        memory_bytes=terms.memory_limit,
        cpu_seconds=terms.cpu_limit,
        open_files=terms.open_files_limit,
    )


def _identity(job: Job, run: Run) -> tuple[tuple[str, str], ...]:
    return (
        ("KALA_JOB_ID", job.id),
        ("KALA_RUN_ID", run.id),
        ("KALA_ATTEMPT", str(run.attempt)),
        ("KALA_CAUSE", "retry" if run.attempt > 1 else run.cause),
        ("KALA_TICK", "" if run.tick is None else _text(run.tick)),
    )


def _text(moment: Instant) -> str:
    return datetime.fromtimestamp(moment / SECOND, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
