package import JSON

/// What was counted in both arms of one fraction.
package struct GuardArms: Equatable, Sendable {
  package var treated: GuardArm
  package var control: GuardArm

  package init(treated: GuardArm = GuardArm(), control: GuardArm = GuardArm()) {
    (self.treated, self.control) = (treated, control)
  }

  package mutating func add(_ other: GuardArms) {
    treated.add(other.treated)
    control.add(other.control)
  }

  package static func - (later: GuardArms, earlier: GuardArms) -> GuardArms {
    GuardArms(treated: later.treated - earlier.treated, control: later.control - earlier.control)
  }

  /// Whether `other` may be the same sums at a later time.
  func mayBecome(_ other: GuardArms) -> Bool {
    treated.mayBecome(other.treated) && control.mayBecome(other.control)
  }

  package var json: JSONValue { ["treated": treated.json, "control": control.json] }

  /// Reads what `json` wrote, from another process. `nil` when it is anything else.
  package init?(_ json: JSONValue?) {
    guard let treated = GuardArm(json?["treated"]), let control = GuardArm(json?["control"]) else { return nil }
    self.init(treated: treated, control: control)
  }
}

/// The same client is in the same bucket at every gateway, so arms of several gateways add up bucket by bucket: a client
/// that uses two of them stays one.
extension GuardArm {
  /// By metric, the buckets that have observations: index, numerator, denominator.
  var json: JSONValue {
    var object = JSONObject()
    for metric in GuardMetric.allCases {
      let rows = numberedCells(of: metric).map { cell -> JSONValue in
        [JSONValue(cell.bucket), .number((cell.numerator * 1e6).rounded() / 1e6), .number(cell.denominator)]
      }
      if !rows.isEmpty { object[metric.rawValue] = .array(rows) }
    }
    return .object(object)
  }

  /// More observations of a bucket, or a larger sum of them, no gateway has.
  private static let most = 1e12

  init?(_ json: JSONValue?) {
    guard let object = json?.object else { return nil }
    self.init()
    for metric in GuardMetric.allCases {
      guard let rows = object[metric.rawValue] else { continue }
      guard let rows = rows.array, rows.count <= Self.buckets else { return nil }
      for row in rows {
        guard let row = row.array, row.count == 3, let bucket = row[0].integer, (0..<Self.buckets).contains(bucket),
          let numerator = row[1].number, let denominator = row[2].number, abs(numerator) <= Self.most,
          (0...Self.most).contains(denominator)
        else { return nil }
        add(numerator, denominator, to: metric, bucket: bucket)
      }
    }
  }
}

/// What other gateways have counted of the same flag file, as it grows here: sums that never fall.
package struct PeerSums: Sendable {
  /// What one gateway says.
  package struct Report: Sendable {
    /// The hash of its flag file; it counts from when that came into force.
    package var hash: String
    package var arms: GuardArms

    package init(hash: String, arms: GuardArms) {
      (self.hash, self.arms) = (hash, arms)
    }

    package init?(_ json: JSONValue?) {
      guard let hash = json?["hash"]?.string, let arms = GuardArms(json?["arms"]) else { return nil }
      self.init(hash: hash, arms: arms)
    }

    package var json: JSONValue { ["hash": .string(hash), "arms": arms.json] }
  }

  /// Gateways that are told apart; what more of them say is left out.
  package static let most = 256

  package private(set) var sums = GuardArms()
  private var hash = ""
  private var last: [String: GuardArms] = [:]

  package init() {}

  /// Gateways that have counted something of the present file.
  package var count: Int { last.count }

  /// - Parameters:
  ///   - reports: by a name of the process that no other ever has.
  ///   - hash: of the flag file that is in force here. Reports on other files are left out.
  package mutating func take(_ reports: [String: Report], hash: String) {
    if hash != self.hash {
      self.hash = hash
      last = [:]
    }
    for (name, report) in reports where report.hash == hash {
      let known = last[name]
      guard known != nil || last.count < Self.most else { continue }
      last[name] = report.arms
      let before = known ?? GuardArms()
      // Sums that have fallen are no continuation.
      if before.mayBecome(report.arms) { sums.add(report.arms - before) }
    }
  }
}
