//! The files that come with the program: each example is valid, and the one that documents every
//! key cannot forget one.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::keys_of_the_schema;
use crate::config::build::Surroundings;
use crate::config::parse_within;
use crate::config::problems::Report;
use crate::config::snapshot::Snapshot;
use crate::config::spot::Spot;
use crate::config::yaml::{self, Node, Value};
use crate::config::{schema_value, shape};
use crate::types::Revision;

/// The list of prices that other files refer to.
const PRICES: &str = "prices.yaml";

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf")
}

/// Checks a file of `conf` as `tollgate check` does, with every variable set and the files that examples name at
/// hand.
fn check(name: &str) -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    let tls = directory.path().join("tls");
    std::fs::create_dir(&tls).unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(tls.join("server.crt"), cert.pem()).unwrap();
    std::fs::write(tls.join("upstream-ca.crt"), cert.pem()).unwrap();
    std::fs::write(tls.join("clients-ca.crt"), cert.pem()).unwrap();
    std::fs::write(tls.join("server.key"), signing_key.serialize_pem()).unwrap();
    std::fs::copy(conf().join(PRICES), directory.path().join(PRICES)).unwrap();
    std::fs::copy(
        conf().parent().unwrap().join("tests/data/google/service-account.json"),
        directory.path().join("service-account.json"),
    )
    .unwrap();
    let around = Surroundings {
        base_dir: directory.path(),
        variable: &|name| name.ends_with("_API_KEY").then(|| "sk-test".into()),
        read: RefCell::default(),
    };
    let text = std::fs::read_to_string(conf().join(name)).unwrap();
    parse_within(&text, name, &around, Revision(1)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_is_valid() {
    let mut names: Vec<_> = std::fs::read_dir(conf())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml") && name != PRICES)
        .collect();
    names.sort();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let snapshot = check(&name);
        assert!(!snapshot.models.is_empty() && !snapshot.keys.is_empty(), "{name}");
    }
}

#[test]
fn the_demo_is_what_the_readme_says() {
    let snapshot = check("demo.yaml");
    assert_eq!(snapshot.server.listeners[0].address, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(snapshot.server.admin.address, "127.0.0.1:9090".parse().unwrap());
    let key = &snapshot.keys[&crate::keys::digest(b"sk-demo")];
    assert!(key.may_use("demo") && key.tenant.as_str() == "demo");
    let endpoint = &snapshot.models["demo"].levels[0].targets[0].endpoint;
    assert_eq!(endpoint.id.as_str(), "simulated/127.0.0.1:9100");
    assert_eq!(&*endpoint.base_path, "/v1");
}

#[test]
fn tollgate_yaml_needs_no_environment() {
    let text = std::fs::read_to_string(conf().join("tollgate.yaml")).unwrap();
    let around = Surroundings { base_dir: &conf(), variable: &|_| None, read: RefCell::default() };
    assert!(parse_within(&text, "tollgate.yaml", &around, Revision(1)).is_ok());
}

#[test]
fn tollgate_yaml_mentions_every_key_and_no_other() {
    let text = std::fs::read_to_string(conf().join("tollgate.yaml")).unwrap();
    let text: Vec<_> = text.lines().map(switched_on).collect();
    let tree = yaml::read(&text.join("\n")).unwrap_or_else(|problem| panic!("{problem:?}"));
    let report = Report::default();
    shape::check(&schema_value(), &Spot::root(&tree, &report));
    report.finish("tollgate.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    for key in keys_of_the_schema() {
        let mentioned = key.paths.iter().any(|path| is_there(&tree, path));
        assert!(mentioned, "conf/tollgate.yaml does not mention {:?}", key.paths);
    }
}

/// A line whose key is off, `#key:`, switched on; comments have a space behind the `#`.
fn switched_on(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    match line[indent..].strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
            format!("{}{rest}", &line[..indent])
        }
        _ => line.to_owned(),
    }
}

/// Whether a path such as `server.listeners[].tls` or `models.NAME.balance` is in a file.
fn is_there(node: &Node, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    if let Some(rest) = path.strip_prefix("[]") {
        let rest = rest.trim_start_matches('.');
        return matches!(&node.value, Value::List(items) if items.iter().any(|item| is_there(item, rest)));
    }
    let Value::Map(members) = &node.value else { return false };
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = (&path[..end], path[end..].trim_start_matches('.'));
    match name {
        "NAME" => members.values().any(|(_, member)| is_there(member, rest)),
        name => members.get(name).is_some_and(|(_, member)| is_there(member, rest)),
    }
}
