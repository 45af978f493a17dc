//! The body of one attempt: the client's, spliced for its target, or translated for it.

use bytes::Bytes;

use super::{ModelForm, Request, overlap, platform};
use crate::config::snapshot::{Endpoint, Target};
use crate::dialect::counting::translate_question;
use crate::dialect::embeddings::{request_to_gemini, request_to_openai};
use crate::dialect::gemini::names;
use crate::dialect::gemini::stream_writer::Framing;
use crate::dialect::ir::loss::{Loss, Losses};
use crate::dialect::ir::{self, Dialect};
use crate::dialect::splice::Pieces;
use crate::dialect::translate::translate_request;
use crate::error::Result;
use crate::route::path::{self, GeminiMethod, UpstreamPath};
use crate::types::Operation;

/// What is sent to a target.
pub struct Outgoing {
    /// The body.
    pub body: Pieces,
    /// The dialect spoken there.
    pub dialect: Dialect,
    /// Whether the client speaks another one: its answer must be translated too.
    pub translated: bool,
    /// What the body could not carry.
    pub losses: Vec<Loss>,
}

impl Request {
    /// What to send to a target: the same bytes, uncopied, where nothing is changed.
    ///
    /// # Errors
    /// `InvalidBody` where a body that must be translated is not what its dialect says; `Internal`
    /// where the edits overlap, which the rules rule out.
    pub fn outgoing(&self, target: &Target) -> Result<Outgoing> {
        let mut outgoing = self.in_dialect(target)?;
        let asked = (self.operation, outgoing.dialect);
        let (platform, losses) = (&target.endpoint.platform, &mut outgoing.losses);
        outgoing.body = platform::adapted(platform, asked, outgoing.body, losses)?;
        Ok(outgoing)
    }

    fn in_dialect(&self, target: &Target) -> Result<Outgoing> {
        let dialect = target.endpoint.wire(self.dialect);
        if !self.is_foreign(dialect) {
            let body = self.body_for(target)?;
            return Ok(Outgoing { body, dialect, translated: false, losses: Vec::new() });
        }
        let own = self.splice.apply(&self.body);
        let to = ir::Target {
            model: target.model.as_str(),
            extensions: target.endpoint.extensions,
            usage_in_streams: target.endpoint.usage_in_streams,
        };
        let (from, mut losses) = (self.dialect, Losses::new(self.dialect));
        let done = match (self.operation, dialect) {
            (Operation::CountTokens, _) => translate_question(from, dialect, &own, to)?,
            (Operation::Embedding, Dialect::Gemini) => {
                request_to_gemini(&own, to.model, &mut losses)?
            }
            (Operation::Embedding, _) => {
                request_to_openai(&own, self.embeddings, to.model, &mut losses)?
            }
            _ => translate_request(from, dialect, &own, to, self.stream)?,
        };
        let losses = done.losses.into_iter().chain(losses.into_list()).collect();
        Ok(Outgoing { body: Bytes::from(done.body).into(), dialect, translated: true, losses })
    }

    /// The path at a target.
    pub fn upstream_path(&self, target: &Target, dialect: Dialect) -> String {
        let gemini = self.gemini.unwrap_or(match (self.operation, self.stream) {
            (Operation::CountTokens, _) => GeminiMethod::CountTokens,
            (Operation::Embedding, _) => GeminiMethod::BatchEmbed,
            (_, true) => GeminiMethod::Stream,
            (_, false) => GeminiMethod::Generate,
        });
        let path = UpstreamPath {
            platform: &target.endpoint.platform,
            base: &target.endpoint.base_path,
            dialect,
            operation: self.operation,
            model: target.model.as_str(),
            gemini,
            // A client's own array is passed on; what is translated is read as events.
            sse: self.stream && self.framing == Framing::Sse,
        };
        path.render()
    }

    /// Whether an endpoint serves what is asked.
    pub fn is_served_by(&self, endpoint: &Endpoint) -> bool {
        path::serves(self.operation, endpoint.wire(self.dialect), &endpoint.platform)
    }

    /// Whether servers of a dialect are asked in other words than the client's.
    fn is_foreign(&self, dialect: Dialect) -> bool {
        let one_is_gemini = (self.dialect == Dialect::Gemini) != (dialect == Dialect::Gemini);
        match self.operation {
            Operation::Chat | Operation::CountTokens => self.dialect != dialect,
            // OpenAI has one way of embedding beside its two of chatting; Anthropic has none.
            _ => one_is_gemini,
        }
    }

    fn body_for(&self, target: &Target) -> Result<Pieces> {
        let splice = match &self.without_usage {
            Some(splice) if !target.endpoint.usage_in_streams => &**splice,
            _ => &self.splice,
        };
        let model = target.model.as_str();
        if model == &*self.model.name {
            return Ok(splice.pieces(&self.body));
        }
        let mut splice = splice.clone();
        match &self.model.form {
            ModelForm::Json(at) => splice.replace_string(at.clone(), model).map_err(overlap)?,
            ModelForm::Text(at) => splice.replace(at.clone(), model.as_bytes()).map_err(overlap)?,
            ModelForm::Path(places) => {
                let model = names::qualified(model);
                for at in places {
                    splice.replace_string(at.clone(), &model).map_err(overlap)?;
                }
            }
        }
        Ok(splice.pieces(&self.body))
    }
}
