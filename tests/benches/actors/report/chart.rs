//! Charts as SVG.
//!
//! Owns: scales, and where each mark goes. Must not know: files, or what the numbers mean. Invariant:
//! readable on a light ground and on a dark one; every colour stands in the style sheet.

use std::fmt::Write;

use crate::figure::number;
use crate::growth::Curve;
use crate::peers::Standing;

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#333}.h{font-size:14px;font-weight:600}.s{fill:#666;font-size:11px}\
.g{stroke:#ccc;stroke-width:1}.a{fill:#0a7d55}.b{fill:#7a8aa0}.l{fill:none;stroke:#0a7d55;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#aaa}.g{stroke:#444}.a{fill:#35c792}.b{fill:#8fa0b8}\
.l{stroke:#35c792}}";

/// A scale of powers of ten.
struct Scale {
    from: f64,
    to: f64,
    start: f64,
    length: f64,
}

impl Scale {
    /// One on which all of these have room.
    fn over(values: impl Iterator<Item = f64> + Clone, start: f64, length: f64) -> Self {
        let from = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let to = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        Self { from, to: if to > from { to } else { from + 1.0 }, start, length }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + self.length * (value.log10() - self.from) / (self.to - self.from)
    }

    /// The powers of ten on it.
    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.from as i32..=self.to as i32).map(|power| 10_f64.powi(power))
    }
}

fn picture(width: f64, height: f64, inside: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n{inside}</svg>\n"
    )
}

fn say(out: &mut String, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(out, "<line class=\"g\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

/// What a call takes with each peer: a bar each for one core and without pins.
pub(super) fn calls(peers: &[Standing]) -> String {
    const LEFT: f64 = 190.0;
    const WIDTH: f64 = 420.0;
    const ROW: f64 = 34.0;
    let shown = [("call-one", "a"), ("call-free", "b")];
    let known: Vec<&Standing> =
        peers.iter().filter(|peer| shown.iter().any(|(key, _)| peer.values.contains_key(*key))).collect();
    let values = known.iter().flat_map(|peer| shown.iter().filter_map(|(key, _)| peer.values.get(*key)));
    let scale = Scale::over(values.map(|(value, ..)| *value).chain([10.0, 100.0]), LEFT, WIDTH);
    let bottom = 52.0 + ROW * known.len() as f64;
    let mut out = String::new();
    say(&mut out, "h", "start", 8.0, 20.0, "A call there and back, median in µs (logarithmic)");
    for (place, (class, what)) in [("a", "one core"), ("b", "not pinned")].into_iter().enumerate() {
        let x = 420.0 + 90.0 * place as f64;
        let _ = writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"29\" width=\"10\" height=\"10\"/>");
        say(&mut out, "s", "start", x + 14.0, 38.0, what);
    }
    for power in scale.powers() {
        let x = scale.place(power);
        line(&mut out, (x, 46.0), (x, bottom));
        say(&mut out, "s", "middle", x, bottom + 15.0, &number_of(power));
    }
    for (place, peer) in known.iter().enumerate() {
        let y = 50.0 + ROW * place as f64;
        say(&mut out, "", "end", LEFT - 8.0, y + 18.0, &peer.name);
        for (place, (key, class)) in shown.iter().enumerate() {
            let Some((value, ..)) = peer.values.get(*key) else { continue };
            let (y, width) = (y + 2.0 + 13.0 * place as f64, scale.place(*value) - LEFT);
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"11\"/>"
            );
            say(&mut out, "s", "start", LEFT + width + 4.0, y + 10.0, &number(*value));
        }
    }
    picture(LEFT + WIDTH + 60.0, bottom + 26.0, &out)
}

/// What one costs by how many there are, a field for each curve; a cost in proportion is level.
pub(super) fn growth(curves: &[Curve]) -> String {
    const ACROSS: usize = 2;
    const WIDTH: f64 = 340.0;
    const HEIGHT: f64 = 200.0;
    let mut out = String::new();
    for (place, curve) in curves.iter().enumerate() {
        let left = WIDTH * (place % ACROSS) as f64;
        let top = HEIGHT * (place / ACROSS) as f64;
        field(&mut out, curve, left, top, WIDTH, HEIGHT);
    }
    let rows = curves.len().div_ceil(ACROSS) as f64;
    picture(WIDTH * ACROSS as f64, HEIGHT * rows + 8.0, &out)
}

fn field(out: &mut String, curve: &Curve, left: f64, top: f64, width: f64, height: f64) {
    let (inner_left, inner_width) = (left + 52.0, width - 72.0);
    let (inner_bottom, inner_height) = (top + height - 34.0, height - 76.0);
    let xs = Scale::over(curve.points.iter().map(|(x, _)| *x), inner_left, inner_width);
    let mut ys = Scale::over(curve.points.iter().map(|(_, y)| *y), inner_bottom, -inner_height);
    // With two powers of ten or more, noise does not look like growth.
    ys.to = ys.to.max(ys.from + 2.0);
    say(out, "h", "start", left + 8.0, top + 18.0, &format!("{}, {}", curve.what, curve.unit));
    for power in ys.powers() {
        let y = ys.place(power);
        line(out, (inner_left, y), (inner_left + inner_width, y));
        say(out, "s", "end", inner_left - 6.0, y + 4.0, &number_of(power));
    }
    for power in xs.powers().filter(|power| power.log10() as i32 % 2 == 0 || xs.to - xs.from < 5.0) {
        say(out, "s", "middle", xs.place(power), inner_bottom + 15.0, &number_of(power));
    }
    say(out, "s", "end", inner_left + inner_width, inner_bottom + 28.0, &curve.number_of);
    let points: Vec<String> =
        curve.points.iter().map(|(x, y)| format!("{:.1},{:.1}", xs.place(*x), ys.place(*y))).collect();
    let _ = writeln!(out, "<polyline class=\"l\" points=\"{}\"/>", points.join(" "));
    for (x, y) in &curve.points {
        let (x, y, shown) = (xs.place(*x), ys.place(*y), number(*y));
        let _ = writeln!(
            out,
            "<circle class=\"a\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{shown}</title></circle>"
        );
    }
    if let Some((x, y)) = curve.points.last() {
        let anchor = (xs.place(*x), ys.place(*y) - 7.0);
        say(out, "s", "end", anchor.0, anchor.1, &number(*y));
    }
}

/// A power of ten in few characters.
fn number_of(power: f64) -> String {
    match power {
        large if large >= 1e6 => format!("{} M", large / 1e6),
        middle if middle >= 1e3 => format!("{} k", middle / 1e3),
        small => format!("{small}"),
    }
}
