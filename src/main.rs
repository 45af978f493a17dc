//! The `tollgate` binary: arguments, then the library.

use clap::Parser;

/// An edge gateway for large language models.
#[derive(Parser)]
enum Command {
    /// Run the simulated model server
    Mock(tollgate::mock::Options),
}

fn main() -> std::io::Result<()> {
    match Command::parse() {
        Command::Mock(options) => tollgate::mock::run(options),
    }
}
