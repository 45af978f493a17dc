//! What a Responses request says to a server that keeps state: done here, or refused.

use super::{Body, Draft};
use crate::dialect::ir::Dialect;
use crate::dialect::members::Members;
use crate::error::{Error, Kind, Result};

impl<'a> Draft<'a> {
    /// The members of a Responses request; `None` for any other.
    pub fn of_responses(&self) -> Option<&Members<'a>> {
        match &self.form {
            Body::Json(wishes) if self.call.dialect == Dialect::Responses => Some(&wishes.members),
            _ => None,
        }
    }

    /// Refuses what only a server that keeps state could do, and what was not done here.
    ///
    /// # Errors
    /// `ParameterRefused`.
    pub fn refuse_state(&self) -> Result<()> {
        let Some(members) = self.of_responses() else { return Ok(()) };
        for name in ["previous_response_id", "conversation", "background"] {
            let member = members.get_any_case(name);
            if member.is_some_and(|member| !member.is_null() && member.bool() != Some(false)) {
                let text = format!(
                    "`{name}` needs state between requests, which is not kept here: leave it out, \
                     and send the whole conversation in `input`."
                );
                return Err(Error::new(Kind::ParameterRefused, text).param(name));
            }
        }
        Ok(())
    }
}
