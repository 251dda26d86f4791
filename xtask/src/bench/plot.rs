//! The ratios as a picture: one line each, on a logarithmic scale, with their goals and numbers.

use anyhow::Result;
use plotters::prelude::*;

use super::report::Report;
use super::row::{Bound, Row};
use super::samples::Summary;

const WIDTH: u32 = 1500;
const LINE: u32 = 26;
const LEFT: i32 = 620;
const RIGHT: i32 = 340;
const TOP: i32 = 140;
const GOOD: RGBColor = RGBColor(20, 110, 80);
const BAD: RGBColor = RGBColor(190, 50, 30);

/// One line of the picture.
struct Line {
    name: String,
    of: Summary,
    goal: Option<Bound>,
    /// The medians of either side, with their unit.
    medians: String,
}

/// All ratios as SVG.
pub(crate) fn draw(report: &Report) -> Result<String> {
    let lines: Vec<Line> = report.rows.iter().flat_map(lines).collect();
    let kind = if report.quick {
        "a quick run"
    } else {
        "a whole run"
    };
    let above = format!("{}; {kind}", report.machine);
    let mut picture = String::new();
    draw_lines(&lines, &above, &mut picture)
        .map_err(|error| anyhow::anyhow!("cannot draw: {error}"))?;
    Ok(picture)
}

fn lines(row: &Row) -> Vec<Line> {
    let median = |name: &str| {
        let mut all = row.leyden.iter().chain(&row.beside);
        let samples = all.find(|(subject, _)| subject == name);
        let median = samples.and_then(|(_, samples)| samples.summary())?.median;
        Some(format!("{median:.0$}", row.digits))
    };
    let unit = row.unit.split(';').next().unwrap_or_default();
    let line = |ratio: super::row::Ratio| {
        Some(Line {
            name: format!("{}: {} / {}", row.id, ratio.own, ratio.other),
            of: ratio.samples.summary()?,
            goal: ratio.goal,
            medians: format!("{} / {} {unit}", median(&ratio.own)?, median(&ratio.other)?),
        })
    };
    row.ratios().into_iter().filter_map(line).collect()
}

fn draw_lines(
    lines: &[Line],
    machine: &str,
    picture: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let height = TOP as u32 + LINE * (lines.len() as u32 + 1);
    let area = SVGBackend::with_string(picture, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let small = ("sans-serif", 13).into_font();
    let title = "Leyden beside others: the median of the rounds' ratios";
    area.draw(&Text::new(title, (16, 10), ("sans-serif", 18).into_font()))?;
    for (line, y) in machine.lines().zip((34..).step_by(16)) {
        area.draw(&Text::new(line, (16, y), small.clone()))?;
    }
    let legend = [
        (GOOD, "goal met, or none"),
        (BAD, "goal not met"),
        (
            BLACK,
            "thick line: middle half of the rounds; bar: the goal; behind it the medians of either side",
        ),
    ];
    for ((colour, text), x) in legend.into_iter().zip([16, 160, 270]) {
        let font = small.clone().color(&colour);
        area.draw(&Text::new(text, (x, 92), font))?;
    }

    let all = lines
        .iter()
        .flat_map(|line| [line.of.first_quartile, line.of.third_quartile]);
    let (low, high) = all
        .filter(|ratio| *ratio > 0.0)
        .fold((0.5_f64, 2.0_f64), |(low, high), ratio| {
            (low.min(ratio), high.max(ratio))
        });
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let width = f64::from(WIDTH as i32 - LEFT - RIGHT);
    let x = |ratio: f64| {
        let part = (ratio.max(1e-9).log10() - low) / (high - low);
        LEFT + (part.clamp(0.0, 1.0) * width) as i32
    };
    let bottom = height as i32 - 10;
    let powers = low as i32..=high as i32;
    // Where there is room for their numbers.
    let digits: &[f64] = match high - low > 3.0 {
        true => &[1.0],
        false => &[1.0, 2.0, 5.0],
    };
    for ratio in powers.flat_map(|power| digits.iter().map(move |of| of * 10_f64.powi(power))) {
        if ratio > 10_f64.powf(high) {
            continue;
        }
        let colour = BLACK.mix(if ratio == 1.0 { 0.6 } else { 0.15 });
        area.draw(&PathElement::new(
            vec![(x(ratio), TOP - 12), (x(ratio), bottom)],
            colour,
        ))?;
        area.draw(&Text::new(
            format!("{ratio:.4}")
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned(),
            (x(ratio) - 8, TOP - 26),
            small.clone(),
        ))?;
    }
    for (line, y) in lines.iter().zip((TOP..).step_by(LINE as usize)) {
        area.draw(&Text::new(line.name.clone(), (16, y), small.clone()))?;
        let met = line.goal.is_none_or(|goal| goal.is_met(line.of.median));
        let colour = if met { GOOD } else { BAD };
        let digits = super::report::digits(line.of.median, line.goal);
        let goal = line
            .goal
            .map(|goal| format!(" (goal {goal})"))
            .unwrap_or_default();
        let ratio = format!("{:.digits$}{goal}", line.of.median);
        let right = WIDTH as i32 - RIGHT;
        for (text, x) in [(ratio, right + 20), (line.medians.clone(), right + 145)] {
            area.draw(&Text::new(text, (x, y), small.clone().color(&colour)))?;
        }
        let middle = y + 7;
        let from_to = vec![
            (x(line.of.first_quartile), middle),
            (x(line.of.third_quartile), middle),
        ];
        area.draw(&PathElement::new(from_to, colour.stroke_width(5)))?;
        area.draw(&Circle::new(
            (x(line.of.median), middle),
            5,
            colour.filled(),
        ))?;
        if let Some(goal) = line.goal {
            let at = x(goal.number());
            area.draw(&PathElement::new(
                vec![(at, middle - 10), (at, middle + 10)],
                BLACK.stroke_width(2),
            ))?;
        }
    }
    area.present()?;
    Ok(())
}
