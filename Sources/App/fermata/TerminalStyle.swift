import Glibc
import Processes

/// Colours for people: only on a terminal that may have them.
struct TerminalStyle {
  enum Tone {
    case plain, good, bad, dim
  }

  let isColored: Bool

  /// `NO_COLOR` (no-color.org) and terminals that know none are respected.
  static var standardOutput: TerminalStyle {
    let environment = Host.environment
    let wantsNone = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
    return TerminalStyle(isColored: isatty(STDOUT_FILENO) == 1 && !wantsNone && environment["TERM"] != "dumb")
  }

  func bold(_ text: String) -> String { sequence("1", text) }
  func dim(_ text: String) -> String { sequence("2", text) }

  func toned(_ text: String, _ tone: Tone) -> String {
    switch tone {
    case .plain: text
    case .good: sequence("32", text)
    case .bad: sequence("31", text)
    case .dim: dim(text)
    }
  }

  private func sequence(_ code: String, _ text: String) -> String {
    isColored ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}

extension String {
  /// With spaces behind it up to `width` characters.
  func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }

  /// Without spaces at its end.
  var trimmedEnd: String {
    var text = self[...]
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
