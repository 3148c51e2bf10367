import json, struct, sys

def string(text):
    return "'" + text.encode("utf-8").hex() + "'"

def canonical(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return struct.pack(">d", float(value) + 0.0).hex()
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-8"))
    return "{" + ",".join(string(key) + ":" + canonical(value[key]) for key in keys) + "}"

for line in sys.stdin:
    print(canonical(json.loads(bytes.fromhex(line.strip()).decode("utf-8"))))
