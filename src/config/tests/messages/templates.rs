//! Prompts that are neither a text nor a template, and templates that are none, one a row.

use super::check_in;

#[test]
fn templates() {
    let provider = "providers:\n  p: {endpoints: [{url: 'http://h'}]}";
    let candidates = "candidates: [{provider: p}]";
    let text = |members: &str| {
        format!("{provider}\nmodels:\n  gpt-4.1:\n    {candidates}\n    {members}\n")
    };
    let rows = [
        (
            "rewrite: {prompt: [{}]}",
            "6:24: models[\"gpt-4.1\"].rewrite.prompt[0]: must have either `content` or `template`",
        ),
        (
            "rewrite: {prompt: [{content: a, template: a}]}",
            "6:24: models[\"gpt-4.1\"].rewrite.prompt[0]: must have either `content` or `template`",
        ),
        (
            "rewrite: {prompt: [{template: ' '}]}",
            "6:35: models[\"gpt-4.1\"].rewrite.prompt[0].template: must not be empty",
        ),
        (
            "rewrite: {prompt: [{template: '{% if data.x %}'}]}",
            "6:35: models[\"gpt-4.1\"].rewrite.prompt[0].template: syntax error: unexpected end of input, expected end of block (line 1 of the template)",
        ),
        (
            "rewrite: {prompt: [{template: '{{ dat.x }}'}]}",
            "6:35: models[\"gpt-4.1\"].rewrite.prompt[0].template: no variable `dat`: did you mean `data`? There are `data`, `model`, `tenant`",
        ),
    ];
    check_in(text, &rows);
}
