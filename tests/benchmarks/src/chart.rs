//! Plots, as SVG.

use std::{fs, path::Path};

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::machine::root;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Ours first, then what is beside it.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(86, 180, 233), RGBColor(160, 160, 160), RGBColor(213, 94, 0)];
const WIDTH: u32 = 800;
const FONT: &str = "sans-serif";

/// A plot.
pub(crate) struct Chart {
    /// Its file's name, without an ending.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    /// Groups of bars, one for each of the series where it has one.
    Bars { series: Vec<String>, groups: Vec<Group> },
    /// Lines over what is doubled, or tenfold, from point to point.
    Lines { across: &'static str, lines: Vec<Line> },
}

pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Option<f64>>,
}

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Group {
    fn count(&self) -> u32 {
        self.bars.iter().flatten().count() as u32
    }
}

impl Chart {
    /// The plot's path, relative to the report's.
    pub(crate) fn path(&self) -> String {
        format!("plots/{}.svg", self.name)
    }

    pub(crate) fn draw(&self) {
        let file = Path::new(root()).join("tests/benchmarks").join(self.path());
        fs::create_dir_all(file.parent().expect("it is in a folder")).expect("it can be made");
        let canvas = SVGBackend::new(&file, (WIDTH, self.height())).into_drawing_area();
        canvas.fill(&WHITE).expect("it can be drawn on");
        match &self.kind {
            Kind::Bars { series, groups } => self.bars(&canvas, series, groups),
            Kind::Lines { across, lines } => self.lines(&canvas, across, lines),
        }
        canvas.present().expect("the plot can be written");
    }

    fn height(&self) -> u32 {
        match &self.kind {
            Kind::Bars { groups, .. } => {
                70 + groups.iter().map(|group| group.count() * 14 + 10).sum::<u32>()
            }
            Kind::Lines { .. } => 400,
        }
    }

    fn bars(&self, canvas: &Canvas<'_>, series: &[String], groups: &[Group]) {
        const LEFT: i32 = 250;
        const LONGEST: f64 = 460.0;
        let all = groups.iter().flat_map(|group| group.bars.iter().flatten());
        let most = all.copied().fold(f64::MIN_POSITIVE, f64::max);
        write(canvas, &self.title, (10, 18), 16, HPos::Left);
        let mut x = LEFT;
        for (name, colour) in series.iter().zip(COLOURS) {
            fill(canvas, (x, 34), (x + 10, 44), colour);
            write(canvas, name, (x + 15, 39), 12, HPos::Left);
            x += 30 + 7 * i32::try_from(name.chars().count()).unwrap_or(0);
        }
        let mut y = 56;
        for group in groups {
            let middle = y + 7 * group.count() as i32;
            write(canvas, &group.name, (LEFT - 8, middle), 12, HPos::Right);
            for (bar, colour) in group.bars.iter().zip(COLOURS) {
                let Some(bar) = bar else { continue };
                let end = LEFT + (bar / most * LONGEST) as i32;
                fill(canvas, (LEFT, y + 1), (end, y + 13), colour);
                write(canvas, &short(*bar), (end + 5, y + 7), 11, HPos::Left);
                y += 14;
            }
            y += 10;
        }
    }

    fn lines(&self, canvas: &Canvas<'_>, across: &str, lines: &[Line]) {
        let points = || lines.iter().flat_map(|line| &line.points);
        let (first, last) = points()
            .fold((f64::MAX, 0.0_f64), |(first, last), (x, _)| (first.min(*x), last.max(*x)));
        let most = points().fold(0.0_f64, |most, (_, y)| most.max(*y));
        let mut chart = ChartBuilder::on(canvas)
            .caption(&self.title, (FONT, 16))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((first..last).log_scale(), 0.0..most * 1.1)
            .expect("there is room for it");
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(across).y_desc("ns").light_line_style(WHITE);
        mesh.x_label_formatter(&|x| short(*x)).y_label_formatter(&|y| format!("{y:.0}"));
        mesh.draw().expect("it can be drawn");
        for (Line { name, points }, colour) in lines.iter().zip([COLOURS[0], COLOURS[3]]) {
            let style = colour.stroke_width(2);
            let line = LineSeries::new(points.iter().copied(), style).point_size(3);
            let drawn = chart.draw_series(line).expect("it can be drawn");
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style);
            drawn.label(name).legend(legend);
        }
        let mut legend = chart.configure_series_labels();
        legend.background_style(WHITE).border_style(BLACK.mix(0.2)).label_font((FONT, 12));
        legend.position(SeriesLabelPosition::UpperLeft).draw().expect("it can be drawn");
    }
}

fn fill(canvas: &Canvas<'_>, from: (i32, i32), to: (i32, i32), colour: RGBColor) {
    let bar = Rectangle::new([from, to], colour.filled());
    canvas.draw(&bar).expect("it can be drawn");
}

fn write(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: i32, anchor: HPos) {
    let style = TextStyle::from((FONT, size).into_font()).pos(Pos::new(anchor, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style)).expect("it can be drawn");
}

fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.3} M", value / 1e6).replace(".000", ""),
        _ if value >= 1e4 => format!("{:.0} k", value / 1e3),
        _ if value >= 10.0 => format!("{value:.0}"),
        _ => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
