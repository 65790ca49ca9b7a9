//! Compares `src/capi/byway.h` with the output of cbindgen, and compiles it as C99 and as C++17
//! without a warning. `tests/c/install` imports it as a module of Objective-C.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that has the test write the header instead of comparing it.
const RENEW: &str = "BYWAY_RENEW_HEADER";

/// The sources of the header, in its order.
const SOURCES: [&str; 15] = [
    "error", "library", "handle", "hooks", "identity", "config", "client", "listener", "channel",
    "key", "stream", "datagram", "ready", "event", "stats",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capi")
}

fn header() -> PathBuf {
    folder().join("byway.h")
}

/// The output of cbindgen, with enums that have a type of their own in Objective-C and Swift, too:
/// by cbindgen's own settings they have one in C++ and C23 only.
fn generated() -> String {
    let config = cbindgen::Config::from_file(folder().join("cbindgen.toml")).expect("its settings");
    let sources = SOURCES.iter().chain(&["log"]);
    let builder = sources.fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(folder().join(name).with_extension("rs"))
    });
    let mut header = Vec::new();
    builder.generate().expect("a header").write(&mut header);
    let mut header = String::from_utf8(header).expect("UTF-8");
    let enums = header.matches("\nenum ").count();
    for (written, wanted) in [
        ("\nenum ", "\nenum BYWAY_ENUM "),
        (
            "\n#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n  : int32_t\n\
             #endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L\n",
            "\n#ifdef BYWAY_TYPED_ENUMS\n  : int32_t\n#endif\n",
        ),
        ("\n#if __STDC_VERSION__ >= 202311L\n", "\n#ifdef BYWAY_TYPED_ENUMS\n"),
        ("\n#endif // __STDC_VERSION__ >= 202311L\n", "\n#endif\n"),
    ] {
        assert_eq!(header.matches(written).count(), enums, "cbindgen writes enums otherwise now");
        header = header.replace(written, wanted);
    }
    header
}

#[test]
fn committed_header_is_the_generated_one() {
    let generated = generated();
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(header(), &generated).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(header()).unwrap_or_default();
    let same = committed == generated;
    assert!(same, "byway.h is out of date: {RENEW}=1 cargo test --features capi --test header");
}

/// Every exported function of a file is in the header: no file was forgotten in [`SOURCES`].
#[test]
fn every_function_is_in_the_header() {
    let header = std::fs::read_to_string(header()).expect("a header");
    let mut functions = 0;
    for file in std::fs::read_dir(folder()).expect("the folder") {
        let path = file.expect("a file").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source");
        for rest in source.split("extern \"C\" fn ").skip(1) {
            let name = rest.split('(').next().expect("a name");
            if name.is_empty() {
                continue; // the type of a function
            }
            functions += 1;
            assert!(
                header.contains(&format!(" {name}(")) || header.contains(&format!("*{name}(")),
                "{name} of {path:?}"
            );
        }
    }
    assert!(functions > 30, "only {functions} were found");
}

fn compiles(compiler: &str, standard: &str, suffix: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("twice").with_extension(suffix);
    // The header needs no other before it, and may be included twice.
    let text = "#include \"byway.h\"\n#include \"byway.h\"\nint main(void) { return BYWAY_OK; }\n";
    std::fs::write(&source, text).expect("the source can be written");
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
        .arg(self::folder())
        .arg(&source)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} is needed: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn header_compiles_as_c99() {
    compiles("cc", "-std=c99", "c");
}

#[test]
fn header_compiles_as_cpp17() {
    compiles("c++", "-std=c++17", "cpp");
}
