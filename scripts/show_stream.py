"""Shows a streamed chat as it arrives on standard input; fails unless it was whole.

The argument is when the request was sent, in nanoseconds since the epoch: this program may start later.
"""

import json
import sys
import time


def main() -> int:
    began = int(sys.argv[1]) / 1e9
    first = None
    usage = None
    finish = None
    done = False
    for line in sys.stdin:
        line = line.strip()
        if not line.startswith("data:"):
            if line and not line.startswith(":"):
                print(line, file=sys.stderr)
            continue
        data = line[len("data:") :].strip()
        if data == "[DONE]":
            done = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            print(f"\nerror: {chunk['error']['message']}", file=sys.stderr)
            return 1
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            text = choice["delta"].get("content")
            if text:
                first = first or time.time()
                print(text, end="", flush=True)
            finish = choice.get("finish_reason") or finish
    if first is None or not done or finish is None or usage is None:
        print("\nerror: the stream was not whole", file=sys.stderr)
        return 1
    took = time.time() - began
    print(
        f"\n({usage['prompt_tokens']} + {usage['completion_tokens']} tokens, first after "
        f"{1000 * (first - began):.0f} ms, whole after {1000 * took:.0f} ms, finish_reason {finish})",
        file=sys.stderr,
    )
    return 0


sys.exit(main())
