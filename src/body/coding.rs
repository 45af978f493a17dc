//! Compressed bodies: gzip, Brotli and Zstandard (RFC 9110, section 8.4).
//!
//! A body is small and may stand for something huge, so it is read into a limit and no further: what
//! goes over it is refused at that byte, and not when it is all there.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::HeaderValue;

use super::too_large;
use crate::error::{Error, Kind, Result, excerpt};

/// The window that a body in Zstandard may ask for, as a power of two: 8 MiB, as RFC 9659 has it.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The window of Brotli's encoder, as a power of two, and its effort: quick, for bodies made at once.
const BROTLI_WINDOW_LOG: u32 = 20;
const BROTLI_QUALITY: u32 = 4;

/// What is read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// `zstd`
    Zstd,
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
}

impl Coding {
    /// All of them, the best one first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// How a body is compressed that came with this `Content-Encoding`; `None` for `identity`.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, also where it is compressed more than once.
    pub fn of(value: &HeaderValue) -> Result<Option<Self>> {
        let text = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        if text.is_empty() || text == "identity" {
            return Ok(None);
        }
        let name = if text == "x-gzip" { "gzip" } else { &text };
        let coding = Self::ALL.into_iter().find(|coding| coding.name() == name);
        coding.map(Some).ok_or_else(|| {
            let text = format!(
                "The content encoding `{}` is not read here: send zstd, br, gzip, or none.",
                excerpt(&text)
            );
            Error::new(Kind::UnsupportedMediaType, text).param("Content-Encoding")
        })
    }

    /// The best of those that a client accepts; `None` where it accepts none of them.
    pub fn accepted(weighed: impl Iterator<Item = (String, f32)>) -> Option<Self> {
        let (mut best, mut most) = (None, 0.0);
        for (name, weight) in weighed {
            let known = Self::ALL.into_iter().find(|coding| coding.name() == name);
            let Some(coding) = known.filter(|_| weight > 0.0 && weight >= most) else { continue };
            let place = |coding: Self| Self::ALL.iter().position(|other| *other == coding);
            if weight > most || best.is_none_or(|best| place(coding) < place(best)) {
                (best, most) = (Some(coding), weight);
            }
        }
        best
    }

    /// The body itself.
    ///
    /// # Errors
    /// `BodyTooLarge` once it has more than `bytes_max`, `InvalidBody` where it is not what it says.
    pub fn decode(self, body: &[u8], bytes_max: usize) -> Result<Bytes> {
        let read = match self {
            Self::Gzip => read_into(MultiGzDecoder::new(body), bytes_max),
            Self::Brotli => read_into(brotli::Decompressor::new(body, CHUNK_BYTES), bytes_max),
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(body).and_then(|mut reader| {
                reader.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                read_into(reader, bytes_max)
            }),
        };
        match read {
            Ok(Some(body)) => Ok(body.into()),
            Ok(None) => Err(too_large(bytes_max)),
            Err(error) => {
                let text = format!("The body cannot be read as {}: {error}.", self.name());
                Err(Error::new(Kind::InvalidBody, text).param("Content-Encoding"))
            }
        }
    }

    /// A body, compressed.
    ///
    /// # Errors
    /// Where memory fails it.
    pub fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
                writer.write_all(body)?;
                writer.finish()
            }
            Self::Brotli => {
                let mut reader = brotli::CompressorReader::new(
                    body,
                    CHUNK_BYTES,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW_LOG,
                );
                let mut out = Vec::new();
                reader.read_to_end(&mut out)?;
                Ok(out)
            }
            Self::Zstd => zstd::stream::encode_all(body, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

/// All that a reader has; `None` where that is more than so many bytes.
fn read_into(reader: impl Read, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let length = reader.take(limit).read_to_end(&mut body)?;
    Ok((length <= bytes_max).then_some(body))
}

#[cfg(test)]
mod tests {
    use super::Coding;
    use crate::context::format::weighed;
    use crate::error::Kind;
    use http::HeaderValue;
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_compressed_reads_the_same(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            for coding in Coding::ALL {
                let small = coding.encode(&body).unwrap();
                prop_assert_eq!(&coding.decode(&small, body.len()).unwrap()[..], &body[..]);
            }
        }

        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for coding in Coding::ALL {
                let _read = coding.decode(&body, 1000);
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let huge = vec![0; 64 << 20];
        for coding in Coding::ALL {
            let bomb = coding.encode(&huge).unwrap();
            assert!(bomb.len() < huge.len() / 100, "{coding:?}: {}", bomb.len());
            assert_eq!(coding.decode(&bomb, 1 << 20).unwrap_err().kind, Kind::BodyTooLarge);
            let half = bomb.get(..bomb.len() / 2).unwrap();
            assert_eq!(coding.decode(half, usize::MAX).unwrap_err().kind, Kind::InvalidBody);
        }
        // A window of 64 MiB would have to be kept in memory.
        let mut writer = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        writer.window_log(26).unwrap();
        std::io::Write::write_all(&mut writer, &huge).unwrap();
        let wide = writer.finish().unwrap();
        assert_eq!(Coding::Zstd.decode(&wide, usize::MAX).unwrap_err().kind, Kind::InvalidBody);
    }

    #[test]
    fn codings_are_chosen_by_weight_and_then_by_what_is_best() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, br", Some(Coding::Brotli)),
            ("br;q=0.5, gzip", Some(Coding::Gzip)),
            ("zstd;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("identity", None),
            ("", None),
        ] {
            assert_eq!(Coding::accepted(weighed(accepted)), coding, "{accepted}");
        }
        let of = |text| Coding::of(&HeaderValue::from_static(text));
        assert_eq!(of("X-GZIP").unwrap(), Some(Coding::Gzip));
        assert_eq!(of("identity").unwrap(), None);
        assert_eq!(of("gzip, gzip").unwrap_err().kind, Kind::UnsupportedMediaType);
        assert_eq!(of("deflate").unwrap_err().kind, Kind::UnsupportedMediaType);
    }
}
