import JSON

/// The options of one verb, read strictly: what is not known is an error that says so.
struct Arguments {
  struct Mistake: Error {
    let message: String
  }

  private(set) var values: [String: [String]] = [:]
  private(set) var switches: Set<String> = []
  private(set) var operands: [String] = []

  /// - Parameters:
  ///   - options: names of options that take a value, with their dashes.
  ///   - switches: names of options that take none.
  ///   - operands: how many words without dashes may come.
  init(
    _ arguments: [String], options: Set<String> = [], switches known: Set<String> = [],
    operands allowed: ClosedRange<Int> = 0...0
  ) throws(Mistake) {
    var index = 0
    var onlyOperands = false
    while index < arguments.count {
      let word = arguments[index]
      index += 1
      if onlyOperands || !word.hasPrefix("-") || word == "-" {
        operands.append(word)
        continue
      }
      if word == "--" {
        onlyOperands = true
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      if known.contains(name) {
        guard parts.count == 1 else { throw Mistake(message: "\(name) takes no value") }
        switches.insert(name)
      } else if options.contains(name) {
        if parts.count == 2 {
          values[name, default: []].append(String(parts[1]))
        } else {
          guard index < arguments.count else { throw Mistake(message: "\(name) needs a value") }
          values[name, default: []].append(arguments[index])
          index += 1
        }
      } else {
        let hint =
          Spelling.nearest(to: name, among: options.union(known).sorted()).map { "; did you mean \($0)?" } ?? ""
        throw Mistake(message: "unknown option \(name)\(hint)")
      }
    }
    guard allowed.contains(operands.count) else {
      let extra = operands.count > allowed.upperBound
      throw Mistake(message: extra ? "unexpected \"\(operands[allowed.upperBound])\"" : "something is missing")
    }
  }

  subscript(name: String) -> String? { values[name]?.last }

  func has(_ name: String) -> Bool { switches.contains(name) }
}

extension Verb {
  /// Says what is wrong with a command line.
  static func misused(_ verb: String, _ mistake: Arguments.Mistake) -> Int32 {
    Terminal.error("fermata \(verb): \(mistake.message); \"fermata \(verb) --help\" tells more")
    return ExitStatus.usage
  }
}
