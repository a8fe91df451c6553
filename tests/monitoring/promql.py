"""Names in PromQL expressions: as much of the grammar as our rules use."""

import re

WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<range>\[[^\]]*\])
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:ms|[smhdwy])?(?![\w:]))
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<matcher>=~|!~|!=|==|>=|<=|=)
      | (?P<other>[-+*/%^(){},<>@])
      | (?P<space>\s+)""",
    re.VERBOSE,
)


def tokens(expression):
    found, at = [], 0
    while at < len(expression):
        match = TOKEN.match(expression, at)
        assert match, f"unreadable at {expression[at:at + 30]!r}"
        if match.lastgroup != "space":
            found.append((match.lastgroup, match.group()))
        at = match.end()
    return found


def names(expression):
    """Selectors as (metric, labels matched with their values), and the labels of `by`, `on` and their like."""
    selectors, grouped = [], set()
    stream = tokens(expression)
    at = 0
    while at < len(stream):
        kind, text = stream[at]
        following = stream[at + 1][1] if at + 1 < len(stream) else ""
        at += 1
        if kind != "name" or text.lower() in WORDS:
            continue
        if text in GROUPING:
            assert following == "(" or text.startswith("group_"), f"{text} without labels"
            if following == "(":
                labels, at = inside(stream, at, ")")
                grouped |= {label for kind, label in labels if kind == "name"}
        elif following == "{":
            body, at = inside(stream, at, "}")
            selectors.append((text, matchers(body)))
        elif following != "(" and not aggregates(stream, at):
            selectors.append((text, {}))
    return selectors, grouped


def inside(stream, at, closing):
    """The tokens of a bracket that opens at `at`, and where to go on."""
    end = next(index for index in range(at, len(stream)) if stream[index][1] == closing)
    return stream[at + 1:end], end + 1


def matchers(body):
    """`job="sluice", le=~"1"` as {"job": "sluice", "le": "1"}."""
    found = {}
    for index, (kind, text) in enumerate(body):
        if kind == "name":
            found[text] = body[index + 2][1][1:-1]
    return found


def aggregates(stream, at):
    """Whether the name before `at` is an aggregation with its labels first: `sum by (route) (…)`."""
    return at < len(stream) and stream[at][1] in ("by", "without")
