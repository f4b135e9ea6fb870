//! Puts the compiled kernel program into the agent, when there is one.
//!
//! `BOT_EBPF_OBJECT` names it; otherwise it is where `cargo xtask build` puts
//! it. Without either the agent is built without a program and says so when it
//! is asked to load it: plain stable Rust is enough for everything else.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

const VARIABLE: &str = "BOT_EBPF_OBJECT";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let object = if let Some(path) = env::var_os(VARIABLE).map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.is_file() {
            return Err(format!("{VARIABLE} names {}, which is no file", path.display()).into());
        }
        Some(path)
    } else {
        let object = manifest.join("../target/bpf/bot-ebpf.o");
        let present = object.is_file();
        // cargo takes a path that does not exist for one that changes all the
        // time, so until there is an object it watches a folder that exists.
        let watched = if present {
            object.as_path()
        } else {
            let folder = object.parent().unwrap_or(&manifest);
            fs::create_dir_all(folder)?;
            folder
        };
        println!("cargo::rerun-if-changed={}", watched.display());
        present.then_some(object)
    };
    let expression = match object {
        Some(path) => {
            fs::copy(path, out.join("bot-ebpf.o"))?;
            r#"Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bot-ebpf.o")))"#
        }
        None => "None",
    };
    fs::write(out.join("object.rs"), expression)?;
    Ok(())
}
