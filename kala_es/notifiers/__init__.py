"""Adapters of the notifier's port: mail by SMTP, requests to a URL."""
