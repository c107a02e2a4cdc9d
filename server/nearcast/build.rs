//! Puts the pages into the binary: `web/dist` as the bundler left it, each file also as gzip, or one honest page if absent.
//!
//! In → Out: `web/dist/**` → `OUT_DIR/pages.rs`, a table that `pages.rs` includes.
//! Spec: RFC 1952 (gzip); RFC 9110, "ETag".

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// What a checkout shows whose pages were never built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Nearcast</title>\
<p>The pages are not part of this build. Run <code>cargo xtask build</code>, then start the server again.\
<p>The server itself works: playlists are at <code>/live/{id}/index.m3u8</code>, the API is at <code>/api/v1/openapi.json</code>.\n";

fn main() -> io::Result<()> {
    let dist =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../web/dist");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &dist, &mut files)?;
    } else {
        let page = out.join("not-built.html");
        fs::write(&page, NOT_BUILT)?;
        files.extend(
            ["index.html", "watch.html", "embed.html", "studio.html"]
                .map(|name| (name.to_owned(), page.clone())),
        );
    }
    files.sort();
    fs::write(out.join("pages.rs"), table(&files, &out)?)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push((
                name.to_string_lossy().replace('\\', "/"),
                path.canonicalize()?,
            ));
        }
    }
    Ok(())
}

/// The table's source text; writes the compressed forms beside it.
fn table(files: &[(String, PathBuf)], out: &Path) -> io::Result<String> {
    let mut text = String::from("&[\n");
    for (index, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path)?;
        let gzip = compressed(&bytes)?;
        // Pictures and fonts are compressed already: a second form would only take place.
        let smaller = gzip.len() < bytes.len() / 10 * 9;
        let gzip_path = out.join(format!("{index}.gz"));
        fs::write(&gzip_path, if smaller { &gzip[..] } else { &[] })?;
        let digest = Sha256::digest(&bytes);
        let mut etag = String::new();
        for byte in digest.iter().take(8) {
            write!(etag, "{byte:02x}").map_err(io::Error::other)?;
        }
        let (bytes_path, gzip_path) = (path.to_string_lossy(), gzip_path.to_string_lossy());
        let line = writeln!(
            text,
            "    Page {{ name: {name:?}, etag: {etag:?}, bytes: include_bytes!({bytes_path:?}), gzip: include_bytes!({gzip_path:?}) }},"
        );
        line.map_err(io::Error::other)?;
    }
    text.push(']');
    Ok(text)
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // No time stamp: the same pages make the same binary.
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
