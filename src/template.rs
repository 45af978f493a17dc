//! Prompt templates: instructions that are made of a context's `data`, so that a client sends facts and
//! not prose.
//!
//! They are Jinja templates in a sandbox: no files, no other templates, no clock and no chance, so the same
//! data always makes the same text. What they may cost is bounded, whatever the data: in steps, which
//! also bound the memory, and in the length of the text. A name that the data lacks is an error, rather than
//! a hole in a prompt. They are compiled with the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

/// The longest template, in bytes.
pub const SOURCE_BYTES_MAX: usize = 64 << 10;

/// The longest text that a template may make, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// What making a text may cost, in steps of the engine; 64 bytes that it handles count as one.
const STEPS_MAX: u64 = 100_000;

/// What a template may name.
pub const VARIABLES: [&str; 3] = ["data", "model", "tenant"];

/// Functions of the engine that stay; `debug` would show everything.
const FUNCTIONS: [&str; 3] = ["dict", "namespace", "range"];

/// The only template of its environment.
const NAME: &str = "prompt";

/// A compiled template.
pub struct Template {
    source: Box<str>,
    environment: Environment<'static>,
}

/// What a text is made of.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// A JSON object.
    pub data: &'a str,
    /// The alias asked for.
    pub model: &'a str,
    /// The caller's tenant.
    pub tenant: &'a str,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("is longer than {SOURCE_BYTES_MAX} bytes"));
        }
        let mut environment = Environment::new();
        environment.remove_global("debug");
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(STEPS_MAX));
        // Errors then say which part of the template they are about.
        environment.set_debug(true);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| said(&error))?;
        Ok(Self { source: source.into(), environment })
    }

    /// Names in the template that stand for nothing, sorted.
    pub fn unknown_names(&self) -> Vec<String> {
        let names = self.environment.get_template(NAME).map(|it| it.undeclared_variables(false));
        let is_known = |name: &&str| VARIABLES.contains(name) || FUNCTIONS.contains(name);
        let names = names.unwrap_or_default().into_iter();
        let mut unknown: Vec<String> = names.filter(|name| !is_known(&name.as_str())).collect();
        unknown.sort();
        unknown
    }

    /// Makes the text, without white space at its ends; it may be empty.
    ///
    /// # Errors
    /// What the data lacks, or which bound the text is over.
    pub fn render(&self, facts: &Facts<'_>) -> Result<String, String> {
        let data: Value = serde_json::from_str(facts.data)
            .map_err(|error| format!("the data cannot be read: {error}"))?;
        let values = [data, facts.model.into(), facts.tenant.into()];
        let values: BTreeMap<&str, Value> = VARIABLES.into_iter().zip(values).collect();
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        let mut text = Bounded::default();
        let made = template.render_captured_to(Value::from(values), &mut text).map(drop);
        if text.is_over {
            return Err(format!("it would be longer than {TEXT_BYTES_MAX} bytes"));
        }
        made.map_err(|error| explained(&error))?;
        let text = String::from_utf8(text.bytes).map_err(|error| error.to_string())?;
        Ok(text.trim().to_owned())
    }
}

impl PartialEq for Template {
    /// Two are the same that were compiled from the same text.
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

/// A text in the making.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    is_over: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > TEXT_BYTES_MAX {
            self.is_over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn explained(error: &minijinja::Error) -> String {
    match (error.kind(), part(error)) {
        (ErrorKind::OutOfFuel, _) => format!("it takes more than {STEPS_MAX} steps"),
        (ErrorKind::UndefinedError, Some(part)) => {
            format!("`{part}` is not there{}", place(error))
        }
        _ => said(error),
    }
}

/// The part of the template that an error is about.
fn part(error: &minijinja::Error) -> Option<&str> {
    let (source, range) = (error.template_source()?, error.range()?);
    // Of `data.order.id` the engine marks what follows the first name.
    let in_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\'' | '"');
    let start = match source.get(range.clone())?.starts_with(['.', '[']) {
        true => source.get(..range.start)?.trim_end_matches(in_path).len(),
        false => range.start,
    };
    source.get(start..range.end).map(str::trim)
}

/// The engine's own words.
fn said(error: &minijinja::Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}"));
    format!("{}{}{}", error.kind(), detail.unwrap_or_default(), place(error))
}

fn place(error: &minijinja::Error) -> String {
    error.line().map(|line| format!(" (line {line} of the template)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};

    use super::{Facts, SOURCE_BYTES_MAX, TEXT_BYTES_MAX, Template};

    fn render(source: &str, data: &str) -> Result<String, String> {
        let facts = Facts { data, model: "support", tenant: "acme" };
        Template::compile(source).and_then(|template| template.render(&facts))
    }

    #[test]
    fn what_templates_make() {
        for (source, data, expected) in [
            ("Plain.", "{}", "Plain."),
            (
                "{{ data.name }} of {{ tenant }} asks {{ model }}.",
                r#"{"name":"Ada"}"#,
                "Ada of acme asks support.",
            ),
            (
                "Grüße, {{ data.name|upper }} ❤",
                r#"{"name":"ß é\u2028𝄞"}"#,
                "Grüße, SS É\u{2028}𝄞 ❤",
            ),
            ("<{{ data.html }}>", r#"{"html":"<b>&\"'</b>"}"#, "<<b>&\"'</b>>"),
            (
                "{% for o in data.orders %}\n- {{ o.id }}: {{ o.state }}\n{% endfor %}",
                r#"{"orders":[{"id":1,"state":"sent"},{"id":2,"state":"new"}]}"#,
                "- 1: sent\n- 2: new",
            ),
            ("{% if data.vip is defined %}VIP{% endif %}\n", "{}", ""),
            ("{{ data.name|default('nobody') }}", "{}", "nobody"),
            (
                "{{ data|tojson }}",
                r#"{"b":1,"a":[true,null,1.5]}"#,
                r#"{"a": [true, null, 1.5], "b": 1}"#,
            ),
            (
                "{{ '{{ data.x }}' }} {{ data.x }}",
                r#"{"x":"{{ tenant }}"}"#,
                "{{ data.x }} {{ tenant }}",
            ),
        ] {
            assert_eq!(render(source, data).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_no_template() {
        for (source, expected) in [
            (
                "a\n{% if data.x %}",
                "syntax error: unexpected end of input, expected end of block (line 2 of the template)",
            ),
            (
                "{{ data.x",
                "syntax error: unexpected end of input, expected end of variable block (line 1 of the template)",
            ),
            (
                "{% include 'other' %}",
                "syntax error: unknown statement include (line 1 of the template)",
            ),
            (
                "{% macro m() %}{% endmacro %}",
                "syntax error: unknown statement macro (line 1 of the template)",
            ),
        ] {
            let error = Template::compile(source).map(drop).unwrap_err();
            assert_eq!(error, expected, "{source}");
        }
        let long = "a".repeat(SOURCE_BYTES_MAX + 1);
        let error = Template::compile(&long).map(drop).unwrap_err();
        assert_eq!(error, "is longer than 65536 bytes");
        let template =
            Template::compile("{{ date }}{{ dat.a }}{{ range(3) }}{{ data }}{{ debug() }}");
        assert_eq!(template.unwrap().unknown_names(), ["dat", "date", "debug"]);
    }

    #[test]
    fn what_the_data_lacks_is_named() {
        for (source, data, expected) in [
            ("Hi\n{{ data.name }}", "{}", "`data.name` is not there (line 2 of the template)"),
            (
                "{{ data.order.id }}",
                r#"{"order":null}"#,
                "`data.order.id` is not there (line 1 of the template)",
            ),
            ("{{ data.order.id }}", "{}", "`data.order.id` is not there (line 1 of the template)"),
            (
                "{% for o in data.orders %}{% endfor %}",
                "{}",
                "`data.orders` is not there (line 1 of the template)",
            ),
            (
                "{{ data.x|nope }}",
                r#"{"x":1}"#,
                "unknown filter: filter nope is unknown (line 1 of the template)",
            ),
            (
                "{{ data.x + 'a' }}",
                r#"{"x":1}"#,
                "invalid operation: tried to use + operator on unsupported types number and string (line 1 of the template)",
            ),
        ] {
            assert_eq!(render(source, data), Err(expected.to_owned()), "{source}");
        }
    }

    #[test]
    fn bombs_are_cut_short() {
        let big = format!(r#"{{"x":"{}"}}"#, "a".repeat(1 << 20));
        let doubling =
            format!("{{% set a = 'a' %}}{}{{{{ a }}}}", "{% set a = a ~ a %}".repeat(200));
        for (source, data) in [
            (
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "{}",
            ),
            ("{% for a in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}", "{}"),
            ("{{ 'a' * 999999999 }}", "{}"),
            ("{{ ['a'] * 999999999 }}", "{}"),
            ("{{ 'a\na'|indent(999999999) }}", "{}"),
            ("{{ data.x|replace('a', data.x) }}", &big),
            ("{{ data.x|list|join(data.x) }}", &big),
            ("{{ data.x }}", &big),
            (
                "{% set ns = namespace(a='a') %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
                "{}",
            ),
            (&doubling, "{}"),
        ] {
            let error = render(source, data).unwrap_err();
            let is_bound =
                error.contains("more than 100000 steps") || error.contains("longer than");
            assert!(is_bound || error.contains("too large"), "{source}: {error}");
        }
        let just = "a".repeat(TEXT_BYTES_MAX);
        assert!(render("{{ data.x }}", &format!(r#"{{"x":"{just}"}}"#)).is_ok());
    }

    proptest! {
        #[test]
        fn the_same_data_makes_the_same_text(name in ".*", key in "[a-z]{1,8}") {
            let data = serde_json::json!({"name": name, key: 1, "z": [1, 2]}).to_string();
            let source = "{{ data|tojson }} {{ data.name }}{% for k in data %}{{ k }}{% endfor %}";
            let first = render(source, &data);
            prop_assert!(first.is_ok());
            prop_assert!(first == render(source, &data));
        }

        #[test]
        fn garbage_does_not_panic(source in ".*", data in ".*") {
            let _ = render(&source, &data);
            let _ = render(&format!("{{{{{source}}}}}"), "{}");
        }
    }
}
