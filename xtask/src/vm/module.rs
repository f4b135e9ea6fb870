//! Kernel modules for the boot image: found by name, with what they depend on,
//! in the order in which they load.
//!
//! A package has no `modules.dep` (depmod writes it on installation), so the
//! dependencies are read from the modules themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What the tests use: virtual devices, VLANs, socket diagnostics.
pub(super) const WANTED: [&str; 6] = ["veth", "8021q", "dummy", "bridge", "tcp_diag", "udp_diag"];

/// A module as it goes into the image, uncompressed.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// All wanted modules and their dependencies, dependencies first.
pub(super) fn load_order(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut found = BTreeMap::new();
    collect(&folder.join("kernel"), &mut found)?;
    let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
    let mut order = Vec::new();
    for name in wanted {
        visit(name, &found, &builtin, &mut order)?;
    }
    Ok(order)
}

fn visit(
    name: &str,
    found: &BTreeMap<String, PathBuf>,
    builtin: &str,
    order: &mut Vec<Module>,
) -> Result<()> {
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(path) = found.get(name) else {
        if builtin
            .lines()
            .any(|line| module_name(Path::new(line)).as_deref() == Some(name))
        {
            return Ok(());
        }
        bail!("the kernel package has no module {name}");
    };
    let bytes = read(path)?;
    for dependency in dependencies(&bytes) {
        visit(&dependency, found, builtin, order)?;
    }
    order.push(Module {
        name: name.to_owned(),
        bytes,
    });
    Ok(())
}

fn collect(folder: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if let Some(name) = module_name(&path) {
            found.insert(name, path);
        }
    }
    Ok(())
}

/// `net/8021q/8021q.ko.xz` is `8021q`; dashes and underscores are the same.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, suffix) = file.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("reading {}", path.display())),
    };
    let output = Command::new(tool)
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("starting {tool}"))?;
    if !output.status.success() {
        bail!("{tool} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

/// The `depends=` string of the section `.modinfo`: names between commas.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"depends=";
    module
        .split(|&byte| byte == 0)
        .find_map(|string| string.strip_prefix(KEY))
        .map(|list| {
            String::from_utf8_lossy(list)
                .split(',')
                .filter(|name| !name.is_empty())
                .map(|name| name.replace('-', "_"))
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(modules: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("kernel/net")).unwrap();
        fs::write(
            folder.path().join("modules.builtin"),
            "kernel/net/llc/llc.ko\n",
        )
        .unwrap();
        for (name, depends) in modules {
            let bytes = format!("\x7fELF\0name={name}\0depends={depends}\0license=GPL\0");
            fs::write(folder.path().join(format!("kernel/net/{name}.ko")), bytes).unwrap();
        }
        folder
    }

    fn names(order: &[Module]) -> Vec<&str> {
        order.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn dependencies_load_first_and_once() {
        let package = package(&[
            ("vlan", "garp,mrp"),
            ("garp", "stp"),
            ("mrp", ""),
            ("stp", "llc"),
        ]);
        let order = load_order(package.path(), &["vlan", "stp"]).unwrap();
        assert_eq!(names(&order), ["stp", "garp", "mrp", "vlan"]);
    }

    #[test]
    fn dashes_and_underscores_are_the_same() {
        let package = package(&[("tcp_diag", "inet-diag"), ("inet-diag", "")]);
        let order = load_order(package.path(), &["tcp_diag"]).unwrap();
        assert_eq!(names(&order), ["inet_diag", "tcp_diag"]);
    }

    #[test]
    fn a_missing_module_is_an_error() {
        assert!(load_order(package(&[]).path(), &["veth"]).is_err());
    }

    #[test]
    fn compressed_modules_have_the_same_name() {
        for file in ["veth.ko", "veth.ko.xz", "a/b/veth.ko.zst"] {
            assert_eq!(
                module_name(Path::new(file)).as_deref(),
                Some("veth"),
                "{file}"
            );
        }
        assert_eq!(module_name(Path::new("veth.koala")), None);
    }
}
