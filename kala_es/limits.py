"""Every limit has its name here, with its unit; reaching one has a defined answer."""

from typing import Final

# The verbs
MAX_FILE_VALUES: Final = 5_000_000
"""So many values a file of jobs may have, aliases expanded."""
MAX_ALIASED_VALUES: Final = 500_000
"""So many of them may be what aliases, or `<<`, stand for."""
MAX_FILE_DEPTH: Final = 32
"""So deep its values may be nested."""
MAX_FAULTS: Final = 100
"""Faults in files of jobs that are shown; the others are counted."""
MAX_FAULT_CHARS: Final = 500
"""What is said of each of them; of a longer one the middle is left out."""
VERB_ANSWER_SECONDS: Final = 600
"""A verb waits so long for a server's next byte."""
IMPORT_BATCH_BYTES: Final = 1024 * 1024
"""`import` sends runs on when they have printed so much."""

# The web UI
RUNS_ON_A_PAGE: Final = 20
"""Runs of a job on one page; a link leads to those before them."""
CHANGES_ON_A_PAGE: Final = 20
"""The same for its changes..."""
CHANGES_BYTES: Final = 128 * 1024
"""...and what they say; a page of those that say more ends early."""
MAX_GRAPH_JOBS: Final = 60
"""Jobs in one drawing of what is tied to a job, half of them on either side; the nearest are drawn."""
MAX_GRAPH_EDGES: Final = 200
"""What is drawn between them; those of the nearest."""

# The edge
MAX_BODY_BYTES: Final = 1024 * 1024
"""A request body over this is answered 413."""
MAX_BULK_BODY_BYTES: Final = 64 * 1024 * 1024
"""The same for the bulk route, whose body is a list of jobs."""
MAX_BULK_JOBS: Final = 50_000
MAX_IMPORTED_RUNS: Final = 1_000
"""Runs of a job in one request that imports them; more are refused (400)."""
MAX_IMPORTED_OUTPUT_BYTES: Final = 8 * 1024 * 1024
"""What one of them may have printed."""
MAX_CONNECTIONS_BACKLOG: Final = 1024
STALLED_CLIENT_MS: Final = 30_000
"""A client that acknowledges no byte for this long is cut off (TCP_USER_TIMEOUT)."""
KEEP_ALIVE_SECONDS: Final = 75.0
"""A connection without a request is closed after this."""
REQUEST_HEAD_SECONDS: Final = 10.0
"""A request's head that is not whole after this ends its connection."""
REQUEST_BODY_SECONDS: Final = 30.0
"""A request's body that is not whole after this is answered 408."""
FIRST_CONTENT_SECONDS: Final = 0.2
"""A page of the past that is not read by then comes without it, and asks again."""
KEYED_REQUEST_SECONDS: Final = 120.0
"""A request with an idempotency key is carried out to its end, for this long, when its client leaves."""
JOB_JSON_BYTES: Final = 64 * 1024 * 1024
"""JSON of jobs that is kept ready; what was made first is let go first."""
RUN_JSON_BYTES: Final = 32 * 1024 * 1024
"""The same for ended runs."""
MAX_NEXT_TICKS: Final = 1_000
"""Coming ticks in one answer."""
SSE_HEARTBEAT_SECONDS: Final = 15.0
SSE_SEND_BYTES: Final = 64 * 1024
"""What waits for one reader of a stream at most; it reads on from the log."""
TOPIC_BYTES: Final = 4 * 1024 * 1024
"""What a followed run (or the stream of all events) holds in memory; who is slower reads the log."""
TOPIC_EVENTS: Final = 10_000
MAX_SSE_READERS: Final = 2_000
"""A further stream is answered 503."""
MAX_PAGE: Final = 10_000
"""The most items that one page of a list holds when `limit` is given."""
PAGE_BYTES: Final = 16 * 1024 * 1024
"""A page of large items ends early."""
OUTPUT_IN_RUN_BYTES: Final = 1024 * 1024
"""The most output that a run's JSON carries; the whole is at `output/`."""
OUTPUT_IN_LIST_BYTES: Final = 64 * 1024
"""The same for each run of a list."""
OUTPUT_LINES_BYTES: Final = 256 * 1024
"""Output in one answer that has it by lines..."""
MAX_OUTPUT_LINES: Final = 5_000
"""...and the most lines that one may ask for."""
RUN_EVENTS_SHOWN: Final = 200
"""Events and attempts on the page of a run, the first ones, and its end..."""
RUN_FACTS_READ: Final = 2_000
"""...of so many events of its job, from its start on."""
EXECUTION_OUTPUT_BYTES: Final = 256_000
"""The newest output of each execution in a list of Dkron's API, as much as Dkron keeps."""
MAX_CAUSES: Final = 1_000
"""Runs in the chain of causes that is shown of one run, and retries of that run."""
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255
IDEMPOTENCY_KEPT_SECONDS: Final = 7 * 24 * 3600
"""A first answer is repeated for this long at least."""
MAX_RECEIPT_BYTES: Final = 8 * 1024 * 1024
"""A longer answer is not kept: of a plan its counts are, else the request with a key is refused (422)."""

# Actors and the log
MAX_MAILBOX: Final = 1_000
"""Messages that wait for one job's actor; a further ask is refused (503)."""
MAX_APPENDS_WAITING: Final = 50_000
"""Records that wait for the log writer; a further append waits for room."""
MAX_BATCH_RECORDS: Final = 4_096
MAX_BATCH_BYTES: Final = 1024 * 1024
"""One commit holds at most this much, or one append if that is larger."""
DISK_RESERVE_BYTES: Final = 32 * 1024 * 1024
"""New work is refused (507) when less is free, so that ends can still be recorded."""
LOG_MAP_BYTES: Final = 1 << 40
"""Address space for the log's file, at least; the file grows as it is written."""
ENDING_SECONDS: Final = 60
"""A process that has not ended so long after its last task was told to is ended by the system (SIGALRM)."""

# The log in PostgreSQL
DATABASE_CONNECT_SECONDS: Final = 5
"""A connection that is not made after this has failed (connect_timeout); so has a question that the loop waits for."""
DATABASE_HOLD_SECONDS: Final = 3.0
"""A start waits so long for a hold on the log: PostgreSQL may still be about to notice that a server was killed."""
DATABASE_SILENT_SECONDS: Final = 10
"""A server that acknowledges nothing, or does not answer, for so long is away; and we are to it."""
DATABASE_STATEMENT_SECONDS: Final = 30
"""A statement that takes longer is ended, and said again (statement_timeout)."""
DATABASE_PAUSE_SECONDS: Final = 0.1
"""Before a server that is away is asked again; it doubles each time..."""
MAX_DATABASE_PAUSE_SECONDS: Final = 5.0
"""...up to this."""
DATABASE_AWAY_SECONDS: Final = 5.0
"""A server that was away for so long: what clients ask is refused (503); until then it waits."""
DATABASE_WATCH_SECONDS: Final = 2.0
"""So often the server is asked whether it is there."""
DATABASE_PAGE_BYTES: Final = 1024 * 1024
"""So much of the log is read at a time, or one value."""
PARTITION_POSITIONS: Final = 1_000_000
"""Positions of one part of the table."""
MAX_TABLE_BYTES: Final = 1 << 45
"""What PostgreSQL puts into one part at most: work that asks for a reserve is refused beyond."""

# Retention
TRIM_BYTES: Final = 256 * 1024
"""One transaction that erases rewrites about so much of the log; a commit waits for one at most."""
TRIM_RECORDS: Final = 15
"""Records that are erased in one go; then the janitor pauses."""
JANITOR_SHARE: Final = 0.25
"""The part of the time that the janitor takes at most..."""
JANITOR_SHARE_BEHIND: Final = 0.5
"""...and when what was due took it longer than JANITOR_BEHIND_SECONDS."""
JANITOR_BEHIND_SECONDS: Final = 30.0
JANITOR_STEP_MS: Final = 0.5
"""After so much work the janitor lets others have their share..."""
JANITOR_LONGEST_STEP_MS: Final = 10
"""...or after so much, when it had to wait for its turn."""
TRIM_RUNS: Final = 300
"""Runs that are looked for, and whose output is erased, together..."""
TRIM_COMMIT_RUNS: Final = 10
"""...and runs that one commit says so of."""
TRIM_PAUSE_SECONDS: Final = 1.0
"""The janitor waits this long after a run's end, so that it trims many at a time."""
TRIMMED_RUNS_REMEMBERED: Final = 1_000
"""Trimmed runs of a job whose summaries are kept, the newest; older ones are forgotten, and only counted."""
FORGET_RUNS: Final = 50
"""Runs of a job that are forgotten together, in one commit."""
CLEAR_PATIENCE_SECONDS: Final = 30
"""Who clears a job's history waits so long for its last run to be forgotten; the rest goes on without him."""
MAX_KEPT: Final = 1 << 40
"""Runs, seconds and bytes that a retention may name."""
BASE_PART_BYTES: Final = 1024 * 1024
"""So much of a base is in one record."""
BASE_RUNS: Final = 10_000
"""A base is made when so many runs have been forgotten since the last one, and as many as are left."""

# The past
MISTIMED_POSITIONS: Final = 20_000
"""A wrong clock is seen through where it wrote no more of the log than this; what is longer is believed."""
DAYS_COUNTED: Final = 366
"""Days of which it is known how their runs ended."""
HOURS_COUNTED: Final = 15 * 24
"""Hours of which the same is known."""
RECENT_RUNS: Final = 1_000
"""Runs that ended last of all, which pages list."""
RECENT_FAILURES: Final = 200
"""The same, of those that failed."""
PAST_SNAPSHOT_EVENTS: Final = 100_000
"""A snapshot of the past is kept when the newest is so many events older."""
MAX_PAST_SNAPSHOTS: Final = 64
"""Snapshots of the past that are kept: of those that are too many the least missed goes."""
PAST_SNAPSHOT_BYTES: Final = 256 * 1024 * 1024
"""The same, in bytes."""
MAX_MOMENTS: Final = 2
"""Moments of the past that are folded for requests at a time, until they are answered; a further one is refused..."""
MOMENT_PATIENCE_SECONDS: Final = 30.0
"""...but a page of the web UI, which waits so long for its turn."""

# Archives
ARCHIVE_BLOCK_BYTES: Final = 256 * 1024
"""A block of an archive is full when its records take so much, before they are compressed."""
MAX_ARCHIVE_PART_BYTES: Final = MAX_BULK_BODY_BYTES + 1024 * 1024
"""A part of an archive that takes more, compressed or not, is neither written nor read. A job that is as large as a
request allows fits."""
MAX_ARCHIVE_VALUES: Final = 4_000_000
"""CBOR values in a part of an archive: one that has more, however small, would take much memory, and is refused."""
MAX_ARCHIVE_BYTES: Final = 64 * 1024 * 1024 * 1024
"""An archive that is sent to a server; a larger one is refused (413)."""
MAX_EXPORTS: Final = 2
"""Archives that a server makes at a time, until they are sent; a further one is refused (503)."""
MAX_IMPORTS: Final = 2
"""Archives whose jobs a server reads at a time; likewise."""
EXCHANGE_GRACE_SECONDS: Final = 3.0
"""Before an archive becomes the log of a server, requests under way have so long to end..."""
AGENT_END_SECONDS: Final = 10.0
"""...and its agent so long; else the log stays as it is (503)."""
MAX_LOOKED_AT_FOR_OUTPUT: Final = 10_000
"""Records that are looked at to tell a run that printed nothing from one whose output an archive left out."""
MAX_IMPORT_BYTES: Final = 1024 * 1024 * 1024
"""The definitions of an archive's jobs, at any moment of its log; one that has more is refused (400)."""

# Jobs
MAX_JOBS: Final = 1_000_000
MAX_NAME_CHARS: Final = 1_000
MAX_ID_CHARS: Final = 200
MAX_PARENTS: Final = 1_000
MAX_LABELS: Final = 64
MAX_LABEL_CHARS: Final = 1_000
MAX_RETRIES: Final = 1_000_000
MAX_SCHEDULE_CHARS: Final = 1_000
"""Of a schedule's or a duration's text; bounds what is kept of parsed ones."""
MIN_INTERVAL_SECONDS: Final = 0.1
"""A schedule whose ticks are closer is refused (400)."""
MAX_SCHEDULES_A_JOB: Final = 8
MIN_INTERVAL_BESIDE_SECONDS: Final = 300
"""Of a job's schedules on different clocks, those beside the fastest have ticks so far apart, on average of a year."""
MAX_RUNS_IN_FLIGHT: Final = 1_000
"""Runs of one job at a time; a further tick is skipped, a further ask refused (503)."""
MAX_TIMEOUT_SECONDS: Final = 366 * 24 * 3600
CATCH_UP_SPACING_SECONDS: Final = 1.0
"""Between the starts of a job's runs that `catch_up: all` makes up (half its interval, if that is shorter)."""
MAX_CATCH_UP_RUNS: Final = 1_000
"""Of more passed ticks `catch_up: all` makes up the newest."""
CATCH_UP_STARTS_PER_SECOND: Final = 200
"""Jobs whose passed ticks are answered, over the whole node; the others wait their turn."""
MAX_REASON_CHARS: Final = 1_000
"""Of a pause or a redaction; a longer one is refused (400)."""
MAX_RETRY_DELAY_SECONDS: Final = 366 * 24 * 3600
"""Between an attempt's end and its retry, whatever the back-off makes of it."""
MAX_RETRY_BACKOFF: Final = 100
MAX_PATTERN_CHARS: Final = 1_000
"""Of the regular expression that a remote job expects of an answer's body."""
MAX_PATH_CHARS: Final = 4_096
"""Of the files that a remote job names."""
MAX_ACCOUNT_CHARS: Final = 256
"""The name of a job's user or group."""
MIN_MEMORY_LIMIT_BYTES: Final = 1024 * 1024
MIN_OPEN_FILES_LIMIT: Final = 3
MAX_OPEN_FILES_LIMIT: Final = 1 << 30

# Notices
MAX_NOTIFY_TARGETS: Final = 20
"""Those whom one job wants told; more are refused (400)."""
MAX_NOTICE_ADDRESS_CHARS: Final = 2_000
MAX_NOTICES_WAITING: Final = 10_000
"""Notices that are not delivered yet; a further one is given up at once, which is recorded."""
NOTICES_AT_ONCE: Final = 64
"""Notices that are sent at a time, one for each receiver (a URL, the mail server); the others wait their turn."""
NOTICE_SECONDS: Final = 30.0
"""An attempt that takes longer has failed."""
NOTICE_ATTEMPTS: Final = 15
"""After so many a notice is given up."""
NOTICE_DELAY_SECONDS: Final = 10
"""Between the first two attempts; it doubles from one to the next..."""
MAX_NOTICE_DELAY_SECONDS: Final = 3_600
"""...up to this."""
NOTICE_OUTPUT_BYTES: Final = 8 * 1024
"""The last output of the run, as a notice has it."""
NOTICE_REASON_CHARS: Final = 500
"""What is kept of a receiver's or a mail server's reason."""

# Processors
MAX_PROCESSORS: Final = 10
"""Processors of one job; more are refused (400)."""
MAX_PROCESSOR_CONFIG_CHARS: Final = 8_192
"""The keys and values of one of them together; more are refused (400)."""
MAX_EXECUTOR_CONFIG_CHARS: Final = 65_536
"""The keys and values of a job's `executor_config` together; more are refused (400)."""
EXECUTOR_REASON_CHARS: Final = 1_000
"""What an executor of a package gives as the reason of an end: the rest is not kept."""
MAX_HANDOVERS: Final = 10_000
"""Runs' outputs that are on their way to a processor; a further one is given up at once, which is recorded."""
PROCESSORS_AT_ONCE: Final = 64
"""Parts of output that are handed over at a time, one for each processor with the same config."""
PROCESSOR_THREADS: Final = 256
"""Threads of one processor, one for each place that it writes or sends to; a part that needs one more has failed."""
PART_BYTES: Final = 64 * 1024
"""The most that a processor is handed at a time. A part ends with a line, unless the line is longer..."""
PART_SECONDS: Final = 1.0
"""...or older than this."""
PROCESSOR_SECONDS: Final = 30.0
"""A processor that takes longer for a part has failed."""
PROCESSOR_ATTEMPTS: Final = 15
"""After so many failures in a row a run's output is not handed to that processor any more."""
PROCESSOR_DELAY_SECONDS: Final = 5
"""Between the first failure and the next attempt; it doubles from one to the next..."""
MAX_PROCESSOR_DELAY_SECONDS: Final = 3_600
"""...up to this."""
PROCESSOR_REASON_CHARS: Final = 500
"""What is kept of the reason why a processor failed."""
HANDOVER_NOTE_SECONDS: Final = 10.0
"""So often is recorded how far the output of a run in flight was handed over; a crash repeats what came after."""
SYSLOG_LINE_BYTES: Final = 1_800
"""A line that is longer goes to syslog as several messages."""

# Attempts
MAX_ATTEMPTS_AT_ONCE: Final = 4_000
"""Attempts that one agent carries out at a time; the others wait their turn."""
CHUNK_BYTES: Final = 16 * 1024
CHUNK_SECONDS: Final = 0.05
"""Output is recorded when a chunk is full or this old, whichever is first."""
CHUNKS_UNACKNOWLEDGED: Final = 128
"""Chunks of one attempt that may wait to be durable; then its pipe is not read."""
UNACKNOWLEDGED_BYTES: Final = 32 * 1024 * 1024
"""Output of all attempts together that may wait to be durable; then no pipe is read."""
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""A message between node and agent. A larger order is refused; a larger frame ends the connection."""
MAX_LINK_BYTES: Final = 64 * 1024 * 1024
"""What waits to be sent to the agent..."""
LINK_STALLED_SECONDS: Final = 10.0
"""...while nothing has left for so long: then the connection is given up, and the next one begins with a list."""
AGENT_LINGER_SECONDS: Final = 10.0
"""An agent that holds nothing ends when no node has come for this long."""
AGENT_FOUND_SECONDS: Final = 1.0
"""An agent without a node looks so often whether its socket is still there, and makes it anew if not."""
FIRST_MEETING_SECONDS: Final = 10.0
"""A node that starts waits so long for its agent; then it goes on without, and is not ready until there is one."""
LEAVE_SECONDS: Final = 5.0
"""A stop that leaves its runs waits so long for what was asked before."""
STOP_REPORT_SECONDS: Final = 10.0
"""A stop that waits says so often how many runs are left."""
MAX_GROUPS: Final = 16_384
"""Process groups that an agent notes, so that its successor can end what it leaves; beyond it nothing starts."""
FILES_FOR_CONNECTIONS: Final = 0.75
"""The part of the files that the server may open that is for clients' connections; a further one is closed at once."""
PIPE_IDLE_SECONDS: Final = 1.0
"""After the process has ended, a pipe that others hold open is given up when silent for this long..."""
PIPE_LINGER_SECONDS: Final = 10.0
"""...or after this long in any case."""
KILL_GRACE_SECONDS: Final = 5.0
"""Between TERM and KILL."""
MAX_REMOTE_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""The most of a remote answer's body that is kept."""
SEARCHED_BODY_BYTES: Final = 1024 * 1024
"""The first part of it, in which what is expected has to be found."""
SEARCH_CPU_SECONDS: Final = 5
"""A search that takes more CPU time is ended: the attempt fails..."""
SEARCH_MEMORY_BYTES: Final = 512 * 1024 * 1024
"""...and so does one that takes more memory."""
TLS_FILES_AT_ONCE: Final = 16
"""Requests whose certificates are being read, each on a thread; the others wait their turn, within their timeouts."""
SEARCHES_AT_ONCE: Final = 4
"""Each is a process; the others wait their turn."""
NEWEST_OUTPUT_BYTES: Final = 256 * 1024
"""The most of an attempt's newest output that is held until its end, when `max_output` cuts what came before."""
MAX_GAPS: Final = 1_000
"""Gaps of one run's output that are told; one of the last attempts may be told as if it were at the end."""
MAX_BACKTICK_OUTPUT_BYTES: Final = 128 * 1024
REMOTE_TIMEOUT_SECONDS: Final = 30
"""For a remote job that states none."""
