/// The definition of all metrics of a program: names, help, types, labels, buckets. Made once, then only read, by
/// every thread.
///
/// ```
/// struct GatewayMetrics: Sendable {
///   let registry: Registry
///   let opened: Counter
///   let closes: Family<Counter, Mode, CloseResult>
///
///   init() {
///     var define = RegistryBuilder()
///     opened = define.counter("fermata_streams_opened_total", "Streams opened.")
///     closes = define.counters("fermata_close_total", "Ends of client responses.", by: "mode", "result")
///     registry = define.build()
///   }
/// }
/// ```
package struct Registry: Sendable {
  let metrics: [MetricDefinition]
  let countPlaces: Int
  let realPlaces: Int
  let openLabels: Int
  /// The upper bounds of all histograms, one after the other.
  let bounds: [Double]
}

enum MetricKind: Sendable {
  case counter
  case gauge(GaugeMerge)
  case histogram

  var isHistogram: Bool {
    if case .histogram = self { return true }
    return false
  }

  /// The word of the `# TYPE` line.
  var word: StaticString {
    switch self {
    case .counter: "counter"
    case .gauge: "gauge"
    case .histogram: "histogram"
    }
  }
}

/// What the value of a gauge is when several loops have one.
package enum GaugeMerge: Sendable {
  case sum
  case maximum
}

struct MetricDefinition: Sendable {
  let name: String
  let help: String
  let kind: MetricKind
  let layout: SeriesLayout
  /// The name of the open label and its number, if there is one.
  let open: OpenLabel?
  /// The fixed labels of each combination as text: `mode="legacy",result="acked"`; one empty text without labels.
  let combinations: [String]
  /// Whether a series is there before it has counted anything.
  let showsUnused: Bool
  /// Combinations that never come.
  var leftOut: Set<Int> = []

  var seriesCount: Int { combinations.count * (open == nil ? 1 : openLabelValueLimit + 1) }
}

struct OpenLabel: Sendable {
  let name: String
  /// Its place in a shard's list of open labels.
  let number: Int
}

/// Collects definitions. A mistake here is a bug of the program, found at its start: it traps.
package struct RegistryBuilder {
  private var metrics: [MetricDefinition] = []
  private var countPlaces = 0
  private var realPlaces = 0
  private var openLabels = 0
  private var bounds: [Double] = []

  package init() {}

  package consuming func build() -> Registry {
    Registry(
      metrics: metrics, countPlaces: countPlaces, realPlaces: realPlaces, openLabels: openLabels, bounds: bounds)
  }

  package mutating func counter(_ name: StaticString, _ help: StaticString) -> Counter {
    Counter(add(name, help, .counter), series: 0)
  }

  package mutating func gauge(_ name: StaticString, _ help: StaticString, merge: GaugeMerge = .sum) -> Gauge {
    Gauge(add(name, help, .gauge(merge)), series: 0)
  }

  /// - Parameter bounds: the buckets' upper bounds, ascending, without the infinite one.
  package mutating func histogram(_ name: StaticString, _ help: StaticString, bounds: [Double]) -> Histogram {
    Histogram(add(name, help, .histogram, bounds: bounds), series: 0)
  }

  /// - Parameter labels: the names of the labels, one for each type of the result.
  /// - Parameter showsUnused: whether a series is there before it has counted anything. Rates miss what the first
  ///   scrape of a series brings, so this is for details only: no alert asks for them.
  package mutating func counters<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, by labels: String..., showsUnused: Bool = true
  ) -> Family<Counter, repeat each Label> {
    family(name, help, .counter, labels, showsUnused: showsUnused)
  }

  package mutating func gauges<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, by labels: String..., merge: GaugeMerge = .sum
  ) -> Family<Gauge, repeat each Label> {
    family(name, help, .gauge(merge), labels)
  }

  package mutating func histograms<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, by labels: String..., bounds: [Double]
  ) -> Family<Histogram, repeat each Label> {
    family(name, help, .histogram, labels, bounds: bounds)
  }

  /// - Parameters:
  ///   - open: the name of the label whose values are met at run time.
  ///   - labels: the names of the fixed labels, one for each label type of the result.
  package mutating func counters<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, open: String, by labels: String...
  ) -> OpenFamily<Counter, repeat each Label> {
    openFamily(name, help, .counter, open, labels)
  }

  package mutating func gauges<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, open: String, by labels: String..., merge: GaugeMerge = .sum
  ) -> OpenFamily<Gauge, repeat each Label> {
    openFamily(name, help, .gauge(merge), open, labels)
  }

  /// A series is there from its first value on: one that is never observed would be two dozen lines of zeros.
  package mutating func histograms<each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, open: String, by labels: String..., bounds: [Double]
  ) -> OpenFamily<Histogram, repeat each Label> {
    openFamily(name, help, .histogram, open, labels, bounds: bounds, showsUnused: false)
  }

  /// The combination `labels` of a family never comes, and is not written.
  package mutating func leaveOut<each Label: MetricLabel>(
    _ labels: repeat each Label, of family: OpenFamily<Counter, repeat each Label>
  ) {
    var series = 0
    var position = 0
    for value in repeat each labels {
      series += family.strides.values[position] * value.labelIndex
      position += 1
    }
    let place = metrics.firstIndex { metric in
      guard case .counter = metric.kind else { return false }
      return metric.layout.countStart == family.layout.countStart
    }
    guard let place else { preconditionFailure("a family of another registry") }
    metrics[place].leftOut.insert(series)
  }
}

extension RegistryBuilder {
  private mutating func family<Handle, each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, _ kind: MetricKind, _ labels: [String], bounds: [Double] = [],
    showsUnused: Bool = true
  ) -> Family<Handle, repeat each Label> {
    let (texts, strides) = combine(labels, (repeat (each Label).self))
    let layout = add(name, help, kind, combinations: texts, bounds: bounds, showsUnused: showsUnused)
    return Family(layout: layout, strides: strides, firstSeries: 0)
  }

  private mutating func openFamily<Handle, each Label: MetricLabel>(
    _ name: StaticString, _ help: StaticString, _ kind: MetricKind, _ open: String, _ labels: [String],
    bounds: [Double] = [], showsUnused: Bool = true
  ) -> OpenFamily<Handle, repeat each Label> {
    let (texts, strides) = combine(labels, (repeat (each Label).self))
    let label = OpenLabel(name: open, number: openLabels)
    openLabels += 1
    let layout = add(
      name, help, kind, open: label, combinations: texts, bounds: bounds, showsUnused: showsUnused)
    return OpenFamily(layout: layout, strides: strides, open: label.number, seriesPerValue: texts.count)
  }

  /// The label texts of every combination, the last label changing fastest, and each label's stride.
  private func combine<each Label: MetricLabel>(
    _ names: [String], _ types: (repeat (each Label).Type)
  ) -> ([String], LabelStrides) {
    var values: [[String]] = []
    for type in repeat each types {
      values.append(Self.texts(of: type))
    }
    precondition(values.count == names.count, "a name for each label")
    precondition(values.count <= LabelStrides.limit, "too many labels")
    var combinations = [""]
    for (name, texts) in zip(names, values) {
      precondition(MetricName.isLabel(name), "not a label name")
      combinations = combinations.flatMap { front in
        texts.map { (front.isEmpty ? "" : front + ",") + name + "=\"" + $0 + "\"" }
      }
    }
    var strides = LabelStrides()
    var stride = 1
    for position in values.indices.reversed() {
      strides.values[position] = stride
      stride *= values[position].count
    }
    return (combinations, strides)
  }

  /// What stands between the quotes of a label, escaped; a companion's name and text follow there.
  private static func texts<Label: MetricLabel>(of type: Label.Type) -> [String] {
    Label.allCases.enumerated().map { place, value in
      precondition(value.labelIndex == place, "labelIndex must count the cases in order")
      let text = PrometheusText.escaped(value.labelText)
      guard let companion = value.companion else { return text }
      precondition(MetricName.isLabel(companion.name), "not a label name")
      return text + "\"," + companion.name + "=\"" + PrometheusText.escaped(companion.text)
    }
  }

  private mutating func add(
    _ name: StaticString, _ help: StaticString, _ kind: MetricKind, open: OpenLabel? = nil,
    combinations: [String] = [""], bounds added: [Double] = [], showsUnused: Bool = true
  ) -> SeriesLayout {
    let name = "\(name)"
    precondition(MetricName.isMetric(name), "not a metric name")
    precondition(!metrics.contains { $0.name == name }, "a metric defined twice")
    precondition(zip(added, added.dropFirst()).allSatisfy(<), "bounds must ascend")
    let layout = SeriesLayout(
      countStart: countPlaces, realStart: realPlaces, bounds: bounds.count..<bounds.count + added.count)
    let metric = MetricDefinition(
      name: name, help: "\(help)", kind: kind, layout: layout, open: open, combinations: combinations,
      showsUnused: showsUnused)
    switch kind {
    case .counter: countPlaces += metric.seriesCount
    case .gauge: realPlaces += metric.seriesCount
    case .histogram:
      countPlaces += metric.seriesCount * layout.bucketCount
      realPlaces += metric.seriesCount
    }
    bounds += added
    metrics.append(metric)
    return layout
  }
}

/// What Prometheus allows as names.
enum MetricName {
  static func isMetric(_ name: String) -> Bool {
    isWord(name, alsoAllowed: UInt8(ascii: ":"))
  }

  /// Names that begin with two underscores are reserved; `le` is the histograms' own.
  static func isLabel(_ name: String) -> Bool {
    isWord(name, alsoAllowed: UInt8(ascii: "_")) && !name.hasPrefix("__") && name != "le"
  }

  private static func isWord(_ name: String, alsoAllowed: UInt8) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || byte == UInt8(ascii: "_") || byte == alsoAllowed
    }
  }
}
