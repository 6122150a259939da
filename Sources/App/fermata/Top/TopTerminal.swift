import Glibc

/// The terminal while `fermata top` has it: its second screen, without a cursor, and keys as they are pressed.
final class TopTerminal {
  private var before = termios()
  private var isTaken = false

  /// `nil` where the output is no terminal.
  init?() {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
  }

  func begin() {
    if isatty(STDIN_FILENO) == 1, unsafe tcgetattr(STDIN_FILENO, &before) == 0 {
      var keys = before
      keys.c_lflag &= ~tcflag_t(ICANON | ECHO)
      // A read returns at once, with or without a key.
      unsafe withUnsafeMutableBytes(of: &keys.c_cc) { bytes in
        unsafe bytes[Int(VMIN)] = 0
        unsafe bytes[Int(VTIME)] = 0
      }
      isTaken = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0
    }
    write("\u{1B}[?1049h\u{1B}[?25l")
  }

  func end() {
    if isTaken { _ = unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before) }
    isTaken = false
    write("\u{1B}[?25h\u{1B}[?1049l")
  }

  /// The key that was pressed first among those that wait; `nil` when none does.
  func nextKey() -> UInt8? {
    guard isTaken else { return nil }
    var key: UInt8 = 0
    return unsafe read(STDIN_FILENO, &key, 1) == 1 ? key : nil
  }

  var width: Int { size.width }
  var height: Int { size.height }

  private var size: (width: Int, height: Int) {
    var size = winsize()
    guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return (80, 24) }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Replaces what is shown, without a flicker.
  func show(_ lines: [String]) {
    write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
  }

  private func write(_ text: String) {
    Terminal.draw(text)
  }
}
