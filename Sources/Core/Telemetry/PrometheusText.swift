package import Bytes

/// Writes a snapshot in the text exposition format, version 0.0.4.
///
/// Metrics stand in the order of their definition, series in label order, open labels by name: two scrapes of the
/// same state are the same bytes. A metric without series has its header all the same.
package enum PrometheusText {
  package static let contentType: StaticString = "text/plain; version=0.0.4; charset=utf-8"

  package static func write(_ snapshot: MetricSnapshot, to out: inout ByteBuffer) {
    for metric in snapshot.registry.metrics {
      writeHeader(metric, to: &out)
      guard let open = metric.open else {
        for (series, labels) in metric.combinations.enumerated()
        where metric.showsUnused || snapshot.isUsed(metric, series) {
          writeSeries(metric, series, labels, snapshot, to: &out)
        }
        continue
      }
      writeOpen(metric, open, snapshot, to: &out)
    }
  }

  /// A metric that is no registry's: its kind's word, and a value for each set of labels.
  ///
  /// - Parameter samples: labels with values of any text, which is escaped here.
  package static func write(
    _ name: String, _ kind: StaticString, _ help: String, _ samples: [(labels: [(String, String)], value: Double)],
    to out: inout ByteBuffer
  ) {
    out.append("# HELP \(name) \(escaped(help, quotes: false))\n# TYPE \(name) ")
    out.append(kind)
    out.append("\n")
    for sample in samples {
      let labels = sample.labels.map { "\($0)=\"\(escaped($1))\"" }.joined(separator: ",")
      writeName(name, "", labels, to: &out)
      append(sample.value, to: &out)
      out.append(UInt8(ascii: "\n"))
    }
  }

  private static func writeOpen(
    _ metric: MetricDefinition, _ open: OpenLabel, _ snapshot: MetricSnapshot, to out: inout ByteBuffer
  ) {
    let names = snapshot.openNames[open.number]
    let width = metric.combinations.count
    for slot in names.usedSlots.sorted(by: { names.name($0) < names.name($1) }) {
      // `other` shows up only when something had to be put there.
      if slot == OpenNames.other && names.names.count < openLabelValueLimit { continue }
      let showsUnused = metric.showsUnused && !names.hidesUnused.contains(slot)
      let front = open.name + "=\"" + escaped(names.name(slot)) + "\""
      for (series, labels) in metric.combinations.enumerated()
      where !metric.leftOut.contains(series) && (showsUnused || snapshot.isUsed(metric, slot * width + series)) {
        let text = labels.isEmpty ? front : front + "," + labels
        writeSeries(metric, slot * width + series, text, snapshot, to: &out)
      }
    }
  }

  private static func writeHeader(_ metric: MetricDefinition, to out: inout ByteBuffer) {
    out.append("# HELP ")
    out.append(metric.name)
    out.append(UInt8(ascii: " "))
    out.append(escaped(metric.help, quotes: false))
    out.append("\n# TYPE ")
    out.append(metric.name)
    out.append(UInt8(ascii: " "))
    out.append(metric.kind.word)
    out.append(UInt8(ascii: "\n"))
  }

  private static func writeSeries(
    _ metric: MetricDefinition, _ series: Int, _ labels: String, _ snapshot: MetricSnapshot,
    to out: inout ByteBuffer
  ) {
    switch metric.kind {
    case .counter:
      writeName(metric.name, "", labels, to: &out)
      out.append(decimal: snapshot.counts[metric.layout.countStart + series])
      out.append(UInt8(ascii: "\n"))
    case .gauge:
      writeName(metric.name, "", labels, to: &out)
      append(snapshot.reals[metric.layout.realStart + series], to: &out)
      out.append(UInt8(ascii: "\n"))
    case .histogram:
      writeHistogram(metric, Histogram(metric.layout, series: series), labels, snapshot, to: &out)
    }
  }

  private static func writeHistogram(
    _ metric: MetricDefinition, _ histogram: Histogram, _ labels: String, _ snapshot: MetricSnapshot,
    to out: inout ByteBuffer
  ) {
    var count = 0
    for bucket in 0...histogram.bounds.count {
      count += snapshot.counts[histogram.firstBucket + bucket]
      out.append(metric.name)
      out.append("_bucket{")
      if !labels.isEmpty {
        out.append(labels)
        out.append(UInt8(ascii: ","))
      }
      out.append("le=\"")
      let bound = histogram.bounds.lowerBound + bucket
      append(bucket < histogram.bounds.count ? snapshot.registry.bounds[bound] : .infinity, to: &out)
      out.append("\"} ")
      out.append(decimal: count)
      out.append(UInt8(ascii: "\n"))
    }
    writeName(metric.name, "_sum", labels, to: &out)
    append(snapshot.reals[histogram.sum], to: &out)
    out.append(UInt8(ascii: "\n"))
    writeName(metric.name, "_count", labels, to: &out)
    out.append(decimal: count)
    out.append(UInt8(ascii: "\n"))
  }

  private static func writeName(
    _ name: String, _ suffix: StaticString, _ labels: String, to out: inout ByteBuffer
  ) {
    out.append(name)
    out.append(suffix)
    if !labels.isEmpty {
      out.append(UInt8(ascii: "{"))
      out.append(labels)
      out.append(UInt8(ascii: "}"))
    }
    out.append(UInt8(ascii: " "))
  }

  private static func append(_ value: Double, to out: inout ByteBuffer) {
    if value.isNaN {
      out.append("NaN")
    } else if value.isInfinite {
      out.append(value < 0 ? "-Inf" : "+Inf")
    } else {
      out.append(finite: value)
    }
  }

  /// A label's value or (`quotes: false`) a help text as the format wants it: backslash, line feed, quote.
  static func escaped(_ text: String, quotes: Bool = true) -> String {
    guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x0A || (quotes && $0 == 0x22) }) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

extension MetricSnapshot {
  /// Whether a series of the metric has a number that is not 0.
  fileprivate func isUsed(_ metric: MetricDefinition, _ series: Int) -> Bool {
    let layout = metric.layout
    switch metric.kind {
    case .counter: return counts[layout.countStart + series] != 0
    case .gauge: return reals[layout.realStart + series] != 0
    case .histogram:
      let start = layout.countStart + series * layout.bucketCount
      return counts[start..<start + layout.bucketCount].contains { $0 != 0 }
    }
  }
}
