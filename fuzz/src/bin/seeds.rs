//! Writes the seeds of every target into a folder, for libFuzzer, and prints the targets' names.

use std::fs;
use std::path::Path;

use tollgate_fuzz::TARGETS;

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write into");
    for target in TARGETS {
        let place = Path::new(&folder).join(target.name);
        fs::create_dir_all(&place).expect("a folder for the seeds");
        for (number, seed) in target.seeds.load().iter().enumerate() {
            fs::write(place.join(number.to_string()), seed).expect("the seeds can be written");
        }
        println!("{}", target.name);
    }
}
