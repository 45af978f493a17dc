//! Pictures, sounds, films and documents as Converse takes them: as bytes or from S3, with a format in place of a
//! MIME type, and with names for documents (API reference, "ImageBlock", "DocumentBlock", "VideoBlock", "AudioBlock").

use super::wire::{Block, Media, S3Location, Source};
use crate::dialect::ir::loss::{Feature, Losses};
use crate::dialect::ir::wire::Text;
use crate::dialect::ir::{self, MediaKind};

/// The longest name of a document, in characters.
const NAME_CHARS_MAX: usize = 200;

/// A medium as a block. `number` counts documents: two of one request must not have the same name.
pub fn block<'a>(
    media: &'a ir::Media<'a>,
    number: &mut u32,
    losses: &mut Losses,
) -> Option<Block<'a>> {
    if media.detail.as_ref().is_some_and(|detail| &**detail != "auto") {
        losses.feature(Feature::ImageDetail);
    }
    let (mime, source) = match &media.source {
        ir::Source::Data { mime, base64 } => {
            (Some(mime), Source { bytes: Some(base64.view()), ..Source::default() })
        }
        ir::Source::Plain(text) => (None, Source { text: Some(text.view()), ..Source::default() }),
        ir::Source::Url { mime, url } if url.starts_with("s3://") => {
            let s3_location = Some(S3Location { uri: url.view() });
            (mime.as_ref(), Source { s3_location, ..Source::default() })
        }
        ir::Source::Url { .. } => {
            let image = media.kind == MediaKind::Image;
            losses.feature(if image { Feature::ImageByUrl } else { Feature::FileByUrl });
            return None;
        }
        ir::Source::Id(_) => {
            losses.feature(Feature::ProviderFiles);
            return None;
        }
    };
    let format = Text::from(format(media, mime.map(|mime| &**mime)));
    let plain = Media { format, name: None, source };
    Some(match media.kind {
        MediaKind::Image => Block { image: Some(plain), ..Block::default() },
        MediaKind::Audio => Block { audio: Some(plain), ..Block::default() },
        MediaKind::Video => Block { video: Some(plain), ..Block::default() },
        MediaKind::File => {
            *number += 1;
            let name = Some(name(media.name.as_deref(), *number));
            Block { document: Some(Media { name, ..plain }), ..Block::default() }
        }
    })
}

/// The format of a MIME type; where there is none, what the address ends in.
fn format<'a>(media: &'a ir::Media<'a>, mime: Option<&'a str>) -> &'a str {
    let subtype = mime.map(|mime| {
        let end = mime.find(';').unwrap_or(mime.len());
        mime.get(..end).unwrap_or(mime).trim().rsplit('/').next().unwrap_or(mime)
    });
    let known = match subtype {
        None => match &media.source {
            ir::Source::Url { url, .. } => url.rsplit('.').next().unwrap_or("txt"),
            _ => "txt",
        },
        Some(subtype) => subtype,
    };
    match known {
        "jpg" => "jpeg",
        "plain" => "txt",
        "markdown" => "md",
        "msword" => "doc",
        "vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "vnd.ms-excel" => "xls",
        "vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "quicktime" => "mov",
        "x-matroska" => "mkv",
        "x-flv" => "flv",
        "x-ms-wmv" => "wmv",
        "3gpp" => "three_gp",
        "mpeg" if media.kind == MediaKind::Audio => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    }
}

/// A document's name: letters, digits, single spaces, hyphens, parentheses and brackets are all that it may hold.
fn name(given: Option<&str>, number: u32) -> String {
    let given = given.map_or("", |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let fits =
        |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '(' | ')' | '[' | ']');
    let words: Vec<&str> = given.split(|one| !fits(one)).filter(|word| !word.is_empty()).collect();
    let mut name: String = words.join(" ").chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() {
        name.push_str("document");
    }
    if number > 1 {
        name.push_str(&format!(" {number}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_hold_what_they_may_and_differ() {
        for (given, number, expected) in [
            (Some("a.pdf"), 1, "a"),
            (Some("Q3__report: final (v2).docx"), 1, "Q3 report final (v2)"),
            (Some("émoi.txt"), 2, "moi 2"),
            (Some("***"), 1, "document"),
            (None, 3, "document 3"),
        ] {
            assert_eq!(name(given, number), expected);
        }
    }
}
