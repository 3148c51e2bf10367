# Checks documents for auditors against their published schemas, with validators that no one here wrote: CycloneDX 1.6 with
# cyclonedx-python-lib (strict), OCSF with the JSON schemas that ocsf-json-schema makes of the published OCSF schema, in which
# no attribute may stand that the schema does not know.
#
#   python evidence.py cyclonedx FILE | ocsf FILE
import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft202012Validator, FormatChecker
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


def cyclonedx(text):
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if found:
        sys.exit(f"not CycloneDX 1.6: {found}")
    return len(json.loads(text)["components"])


def ocsf(text):
    events = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    schemas, validators = {}, {}
    for number, event in enumerate(events):
        version, uid = event["metadata"]["version"], event["class_uid"]
        schema = schemas.setdefault(version, OcsfJsonSchemaEmbedded(get_ocsf_schema(version)))
        if (version, uid) not in validators:
            of_class = schema.get_class_schema(schema.lookup_class_name_from_uid(uid))
            validators[version, uid] = Draft202012Validator(of_class, format_checker=FormatChecker())
        for error in validators[version, uid].iter_errors(event):
            sys.exit(f"event {number} is not OCSF {version}: {list(error.path)}: {error.message[:500]}\n{json.dumps(event)}")
    return len(events)


kind, path = sys.argv[1:]
count = {"cyclonedx": cyclonedx, "ocsf": ocsf}[kind](open(path, encoding="utf-8").read())
print(f"{path}: {count} are valid")
