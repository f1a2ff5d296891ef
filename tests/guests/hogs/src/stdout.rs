//! Standard output.

use std::io::{Write, stdout};

/// Writes lines and half lines, some of them with what a terminal takes for orders.
pub(crate) fn flood() {
    let mut out = stdout().lock();
    let line = [b"\x1b[2J\x1b]0;title\x07".as_slice(), &[b'x'; 4000], b"\n"].concat();
    loop {
        // Whoever writes on after an error is a hog.
        let _ = out.write_all(&line);
        let _ = out.write_all(&line[..1000]);
        let _ = out.flush();
    }
}

/// Writes nothing, often.
pub(crate) fn nothing(writes: u32) -> u32 {
    let mut out = stdout().lock();
    let mut done = 0;
    for _ in 0..writes {
        done += u32::from(out.write(&[]).is_ok() && out.flush().is_ok());
    }
    done
}
