//! What is written of a signature is read back, through any dialect.

use super::{Dialect, Signature, Text};

#[test]
fn a_signature_finds_its_way_home_through_any_dialect() {
    for origin in Dialect::ALL {
        for home in Dialect::ALL {
            let signature = Signature { origin, data: Text::from("Er+/uH==?>~\u{e9}") };
            let written = signature.written(home).into_owned();
            let safe = written.replace('+', "-").replace('/', "_");
            assert_eq!(Signature::read(home, Text::from(written)), signature);
            if home == Dialect::Gemini && origin != home {
                assert_eq!(Signature::read(home, Text::from(safe)), signature);
            }
        }
    }
}
