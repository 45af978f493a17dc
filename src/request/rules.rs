//! The alias's rules on members: refused, lowered, set where the client sent none.
//!
//! Rules are written with the names of Chat Completions. A client of another dialect says the same under
//! other names ([`fields`](crate::dialect::fields)), and must not get around a rule by it. A name that
//! Chat Completions does not have is refused and lowered as it stands in every dialect; it is set only
//! for clients of Chat Completions, since other servers would refuse what they do not know.

use std::borrow::Cow;

use serde_json::Number;

use super::{invalid_member, overlap, wrong_field};
use crate::config::snapshot::Rewrite;
use crate::dialect::fields::{Fields, Named, named};
use crate::dialect::ir::Dialect;
use crate::dialect::members::{Member, Members};
use crate::dialect::openai::request::Request as Wishes;
use crate::dialect::splice::{ObjectEdit, Splice};
use crate::error::{Error, Kind, Result};
use crate::types::Operation;

/// Adds the edits that the rules ask for.
///
/// # Errors
/// `ParameterRefused` and `InvalidBody`, naming the member.
pub(super) fn apply(
    dialect: Dialect,
    operation: Operation,
    members: &Members<'_>,
    rules: &Rewrite,
    splice: &mut Splice,
) -> Result<()> {
    if dialect == Dialect::Chat {
        let mut edit = ObjectEdit::new(members);
        refuse(members, &rules.refuse)?;
        cap(members, &rules.caps, &mut edit)?;
        default(members, &rules.defaults, &mut edit);
        return splice.object(&edit).map_err(overlap);
    }
    if operation != Operation::Chat {
        return Ok(());
    }
    let mut fields = Fields::new(dialect, members);
    refuse_fields(dialect, &fields, &rules.refuse)?;
    cap_fields(dialect, &mut fields, &rules.caps)?;
    default_fields(dialect, &mut fields, &rules.defaults)?;
    fields.write(splice).map_err(wrong_field)
}

/// The end user whom the client names, in the words of its dialect.
pub(super) fn user<'a>(dialect: Dialect, wishes: &Wishes<'a>) -> Result<Option<Cow<'a, str>>> {
    match named("user", dialect) {
        Named::Other(_) => Ok(wishes.user()),
        Named::Known { paths: [path, ..], .. } => {
            let user = Fields::new(dialect, &wishes.members).get(path).map_err(wrong_field)?;
            Ok(user.and_then(|user| user.string()))
        }
        Named::Known { paths: [], .. } => Ok(None),
    }
}

/// Refuses members that the alias does not allow.
fn refuse(members: &Members<'_>, names: &[Box<str>]) -> Result<()> {
    for name in names {
        if members.get_any_case(name).is_some_and(|member| !member.is_null()) {
            return Err(refused(name));
        }
    }
    Ok(())
}

fn refuse_fields(dialect: Dialect, fields: &Fields<'_, '_>, names: &[Box<str>]) -> Result<()> {
    for name in names {
        for path in paths(&named(name, dialect)) {
            if fields.get(path).map_err(wrong_field)?.is_some() {
                return Err(refused(path));
            }
        }
    }
    Ok(())
}

fn refused(name: &str) -> Error {
    let text = format!("`{name}` is not allowed for this model: leave it out.");
    Error::new(Kind::ParameterRefused, text).param(name.to_owned())
}

/// Lowers numbers over their cap.
fn cap(
    members: &Members<'_>,
    caps: &[(Box<str>, Number)],
    edit: &mut ObjectEdit<'_, '_>,
) -> Result<()> {
    for (name, cap) in caps {
        let Some(member) = members.get_any_case(name).filter(|member| !member.is_null()) else {
            continue;
        };
        if is_over(member, name, cap)? {
            edit.set(&member.name, cap.to_string().as_bytes());
        }
    }
    Ok(())
}

fn cap_fields(
    dialect: Dialect,
    fields: &mut Fields<'_, '_>,
    caps: &[(Box<str>, Number)],
) -> Result<()> {
    for (name, cap) in caps {
        for path in paths(&named(name, dialect)) {
            let Some(member) = fields.get(path).map_err(wrong_field)? else { continue };
            if is_over(&member, path, cap)? {
                fields.set(path, cap.to_string().as_bytes());
            }
        }
    }
    Ok(())
}

fn is_over(member: &Member<'_>, name: &str, cap: &Number) -> Result<bool> {
    let number = member.number().and_then(|number| number.as_f64());
    let number = number.ok_or_else(|| invalid_member(name, "must be a number"))?;
    Ok(cap.as_f64().is_some_and(|cap| number > cap))
}

/// Sets members that the client left out.
fn default(
    members: &Members<'_>,
    defaults: &[(Box<str>, Box<str>)],
    edit: &mut ObjectEdit<'_, '_>,
) {
    for (name, json) in defaults {
        if members.get_any_case(name).is_none() {
            edit.set(name, json.as_bytes());
        }
    }
}

fn default_fields(
    dialect: Dialect,
    fields: &mut Fields<'_, '_>,
    defaults: &[(Box<str>, Box<str>)],
) -> Result<()> {
    for (name, json) in defaults {
        let Named::Known { paths: [path, ..], same: true } = named(name, dialect) else { continue };
        if fields.get(path).map_err(wrong_field)?.is_none() {
            fields.set(path, json.as_bytes());
        }
    }
    Ok(())
}

/// The members that a name stands for.
fn paths<'n>(name: &Named<'n>) -> impl Iterator<Item = &'n str> {
    let (known, other) = match *name {
        Named::Known { paths, .. } => (paths, None),
        Named::Other(name) => (&[][..], Some(name)),
    };
    known.iter().copied().chain(other)
}
