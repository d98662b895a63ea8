//! Costs over numbers of viewers as a picture (SVG). Pure.

use std::fmt::Write;

use serde_json::Value;

/// A way of sending: its name in a report of `fanout_cost`, its name for people, its colour.
const WAYS: [(&str, &str, &str); 5] = [
    ("standard", "standard egress", "#b5179e"),
    ("limit_sendto", "limit: sendto", "#adb5bd"),
    ("limit_sendmmsg", "limit: sendmmsg", "#6c757d"),
    ("direct", "direct egress", "#0b7285"),
    ("limit_gso", "limit: GSO", "#212529"),
];

/// What of a report is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    viewers: f64,
    microseconds: f64,
    /// Otherwise it is drawn hollow.
    valid: bool,
}

/// Why reports are no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// None of them has a cost.
    #[error("no report of fanout_cost --json among these")]
    Nothing,
}

/// Draws what `fanout_cost --json` printed, one object for each number of viewers: processor time per packet and viewer,
/// both axes logarithmic. Points that are not valid are hollow.
///
/// # Errors
/// [`PlotError`].
pub fn plot(reports: &[Value]) -> Result<String, PlotError> {
    let curves: Vec<_> = WAYS
        .iter()
        .map(|&(way, name, colour)| (name, colour, curve(reports, way)))
        .filter(|(_, _, points)| !points.is_empty())
        .collect();
    let all = || curves.iter().flat_map(|(_, _, points)| points);
    let Some((least, most)) = all().map(|point| point.viewers).fold(None, widen) else {
        return Err(PlotError::Nothing);
    };
    let Some((cheapest, dearest)) = all().map(|point| point.microseconds).fold(None, widen) else {
        return Err(PlotError::Nothing);
    };
    let x = Axis { from: least, to: most.max(least * 2.0), start: LEFT, end: WIDTH - RIGHT };
    let y = Axis { from: cheapest / 1.2, to: dearest * 1.2, start: HEIGHT - BOTTOM, end: TOP };

    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{LEFT}" y="22" font-size="15">Processor time per RTP packet and viewer, µs</text>
<text x="{}" y="{}" text-anchor="end">viewers</text>
<text x="{LEFT}" y="{}" fill="#495057">hollow: the machine could not keep up, or packets were lost</text>
"##,
        WIDTH - RIGHT,
        HEIGHT - 8.0,
        HEIGHT - 8.0
    );
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(svg, "{text}");
    };
    for tick in TICKS.into_iter().filter(|tick| (y.from..=y.to).contains(tick)) {
        let at = y.place(tick);
        line(format_args!(
            r##"<line x1="{LEFT}" x2="{:.1}" y1="{at:.1}" y2="{at:.1}" stroke="#e9ecef"/><text x="{:.1}" y="{:.1}" text-anchor="end">{tick}</text>"##,
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        ));
    }
    let mut numbers: Vec<f64> = all().map(|point| point.viewers).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    for number in numbers {
        let at = x.place(number);
        line(format_args!(
            r##"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{number}</text>"##,
            HEIGHT - BOTTOM + 18.0
        ));
    }
    for (n, (name, colour, points)) in (0u8..).zip(&curves) {
        let place = |point: &Point| (x.place(point.viewers), y.place(point.microseconds));
        let path: Vec<_> = points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        line(format_args!(
            r##"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"##,
            path.join(" ")
        ));
        for point in points {
            let (x, y) = place(point);
            let fill = if point.valid { colour } else { "#ffffff" };
            line(format_args!(
                r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>"##
            ));
        }
        let key = TOP + 20.0 * f64::from(n);
        let left = WIDTH - RIGHT + 16.0;
        line(format_args!(
            r##"<circle cx="{left}" cy="{key}" r="4" fill="{colour}"/><text x="{}" y="{}">{name}</text>"##,
            left + 12.0,
            key + 4.0
        ));
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// A way's points, by the number of viewers.
fn curve(reports: &[Value], way: &str) -> Vec<Point> {
    let point = |report: &Value| {
        let again = report["ways"]["limit_gso_again"]["valid"].as_bool() != Some(false);
        Some(Point {
            viewers: report["viewers"].as_f64()?,
            microseconds: report["us_per_packet_viewer"][way].as_f64()?,
            valid: report["ways"][way]["valid"].as_bool()? && (way != "limit_gso" || again),
        })
    };
    let usable = |point: &Point| point.viewers > 0.0 && point.microseconds > 0.0;
    let mut points: Vec<Point> = reports.iter().filter_map(point).filter(usable).collect();
    points.sort_by(|a, b| a.viewers.total_cmp(&b.viewers));
    points
}

fn widen(range: Option<(f64, f64)>, value: f64) -> Option<(f64, f64)> {
    let (low, high) = range.unwrap_or((value, value));
    Some((low.min(value), high.max(value)))
}

/// From values to places, logarithmic.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let share = (value / self.from).ln() / (self.to / self.from).ln();
        self.start + share * (self.end - self.start)
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 50.0;
const TICKS: [f64; 10] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(viewers: u32, limit: f64, standard: Option<f64>) -> Value {
        json!({
            "viewers": viewers,
            "us_per_packet_viewer": { "limit_gso": limit, "direct": null, "standard": standard },
            "ways": { "limit_gso": { "valid": true }, "standard": { "valid": viewers < 100 } },
        })
    }

    #[test]
    fn points_are_in_order_and_bad_ones_hollow() {
        let reports = [report(100, 0.6, Some(12.0)), report(1, 0.8, Some(10.0)), report(10, 0.7, None)];
        let valid = curve(&reports, "standard").iter().map(|point| point.valid).collect::<Vec<_>>();
        assert_eq!(valid, [true, false]);
        let svg = plot(&reports).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("fill=\"#ffffff\" stroke").count(), 1);
        assert!(svg.contains("limit: GSO") && !svg.contains("direct egress"));
        // One viewer at the left edge, a hundred at the right one.
        assert!(svg.contains("cx=\"50.0\"") && svg.contains("cx=\"600.0\""), "{svg}");
    }

    #[test]
    fn what_is_no_report_is_no_picture() {
        assert_eq!(plot(&[]), Err(PlotError::Nothing));
        assert_eq!(plot(&[json!([1]), json!({ "viewers": 0 })]), Err(PlotError::Nothing));
    }
}
