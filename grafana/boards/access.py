"""Who is not let in and who is over a limit."""

from . import style
from .parts import (
    INSTANCE,
    NOTHING_HAPPENED,
    bars,
    coloured,
    dashboard,
    graph,
    number,
    or_none,
    query,
    table,
)

ALL = 'instance=~"$instance"'
STATUSES = coloured(**{"401": style.SKY, "403": style.LAVENDER, "429": style.APRICOT})


def board():
    """The whole of it."""
    rows = [
        (None, 4, at_a_glance()),
        ("Refused", 8, refused()),
        ("By role", 8, by_role()),
        ("Budgets and errors", 9, budgets_and_errors()),
    ]
    what = "Credentials that were not taken, limits that were reached, budgets that are being used up."
    return dashboard("access", "Access and limits", what, [INSTANCE], rows)


def counted(title, description, metric, selector, colour):
    """How often in the shown time."""
    expr = f"sum(increase({metric}{{{selector}}}[$__range])) or vector(0)"
    return number(
        title,
        description,
        [query(f"round({expr})", instant=True)],
        style.COUNT,
        thresholds=style.thresholds((1, colour), base=style.SERVED),
    )


def at_a_glance():
    def answers(status, name, meaning):
        return counted(
            f"{status} {name}",
            f"Answers with status {status} in the shown time: {meaning}.",
            "http_requests_total",
            f'{ALL}, status="{status}"',
            style.REFUSED,
        )

    return [
        (4, answers(401, "who is it?", "no credential, or one that was not taken")),
        (4, answers(403, "not allowed", "a known caller whose role does not hold the permission")),
        (4, answers(429, "too much", "a limit was reached, or an address tried too many credentials")),
        (
            4,
            counted(
                "Credentials not taken",
                "Missing, malformed, unknown, expired, revoked and disabled credentials in the shown time.",
                "auth_failures_total",
                ALL,
                style.REFUSED,
            ),
        ),
        (
            4,
            counted(
                "Over a limit",
                "Requests that a role's or a subject's limit refused in the shown time.",
                "admission_refused_total",
                ALL,
                style.REFUSED,
            ),
        ),
        (
            4,
            number(
                "Nearest to its budget",
                "Share of its day's budget that the subject nearest to its end has used.",
                [query(f"max(admission_budget_used_ratio{{{ALL}}}) or vector(0)")],
                style.SHARE,
                min=0,
                max=1,
                decimals=0,
                thresholds=style.FULL,
            ),
        ),
    ]


def refused():
    def answers(status):
        return f'sum(rate(http_requests_total{{{ALL}, status="{status}"}}[$__rate_interval])) or vector(0)'

    failures = f"sum by (reason) (rate(auth_failures_total{{{ALL}}}[$__rate_interval]))"
    limits = f"sum by (reason) (rate(admission_refused_total{{{ALL}}}[$__rate_interval]))"
    return [
        (
            8,
            graph(
                "Answers 401, 403, 429",
                "Unknown callers, callers without the permission, and callers over a limit, a second.",
                [query(answers(status), str(status)) for status in (401, 403, 429)],
                style.PER_SECOND,
                overrides=STATUSES,
            ),
        ),
        (
            8,
            graph(
                "Credentials not taken, by reason",
                "Many of `unknown` or `throttled` are somebody guessing; many of `expired` are clients to renew.",
                [query(or_none(failures, "reason"), "{{reason}}")],
                style.PER_SECOND,
                stack=True,
                overrides=NOTHING_HAPPENED + coloured(**style.CREDENTIALS),
            ),
        ),
        (
            8,
            graph(
                "Over a limit, by limit",
                "Requests a minute, tokens a minute, requests at once, or the day's budget.",
                [query(or_none(limits, "reason"), "{{reason}}")],
                style.PER_SECOND,
                stack=True,
                overrides=NOTHING_HAPPENED + coloured(**style.LIMITS),
            ),
        ),
    ]


def by_role():
    limits = f"sum by (role) (rate(admission_refused_total{{{ALL}}}[$__rate_interval]))"
    counts = f"round(sum by (role, reason) (increase(admission_refused_total{{{ALL}}}[$__range])))"
    budget = f"max by (role) (admission_budget_used_ratio{{{ALL}}})"
    return [
        (
            8,
            graph(
                "Over a limit, by role",
                "Requests that a limit refused, a second, by the role of the caller.",
                [query(or_none(limits, "role"), "{{role}}")],
                style.PER_SECOND,
                overrides=NOTHING_HAPPENED + coloured(**style.ROLES),
            ),
        ),
        (
            8,
            table(
                "Over a limit, by role and limit",
                "How many requests each limit of each role refused in the shown time.",
                or_none(counts, "role"),
                [("role", "Role"), ("reason", "Limit"), ("Value", "Requests")],
                style.COUNT,
                sort_by="Requests",
            ),
        ),
        (
            8,
            bars(
                "Budget used by role",
                "Share of its day's budget that has been used by the subject of the role that has used the most.",
                [query(or_none(budget, "role"), "{{role}}", instant=True)],
                style.SHARE,
                min=0,
                max=1,
                decimals=0,
                thresholds=style.FULL,
            ),
        ),
    ]


def budgets_and_errors():
    budget = f"max by (role) (admission_budget_used_ratio{{{ALL}}})"
    errors = (
        f"topk(20, round(sum by (route, reason) (increase(request_errors_total{{{ALL}}}[$__range])))) > 0"
    )
    return [
        (
            12,
            graph(
                "Budget used over time",
                "The subject of each role that has used the most of its day's budget; dashed at 80 % and 95 %.",
                [query(or_none(budget, "role"), "{{role}}")],
                style.SHARE,
                max=1,
                lines=True,
                thresholds=style.FULL_LINES,
                overrides=NOTHING_HAPPENED + coloured(**style.ROLES),
            ),
        ),
        (
            12,
            table(
                "Errors by route and reason",
                "Refused and failed requests of the shown time, the twenty most frequent.",
                or_none(errors, "reason"),
                [("route", "Route"), ("reason", "Reason"), ("Value", "Requests")],
                style.COUNT,
                sort_by="Requests",
            ),
        ),
    ]
