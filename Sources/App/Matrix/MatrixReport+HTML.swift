internal import Flags
internal import JSON
internal import Streams

extension MatrixReport {
  /// The report as one page without scripts: it loads nothing, and its policy names its style by its hash.
  ///
  /// A verdict is told by its letters and its colour. A cell leads to its three witnesses and the command that plays it
  /// again; the choice of verdicts is the style's.
  package var html: String {
    let hash = Base64.text(SHA256.digest(Array(MatrixStyle.text.utf8)))
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-\(hash)'; base-uri 'none'; form-action 'none'">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>Compatibility matrix</title>
      <style>\(MatrixStyle.text)</style>
      </head>
      <body>
      <header>
      <h1>Compatibility matrix</h1>
      <p>\(escaped(summary)); \(results.count { !$0.isAsExpected }) not as expected</p>
      <p>\(escaped(startedAt)), \(escaped(host)), fermata \(escaped(build["version"]?.string ?? ""))</p>
      </header>
      \(legend)
      <main>
      \(modes.map(grid).joined(separator: "\n"))
      <section><h2>Columns</h2><dl>\(columns)</dl></section>
      </main>
      \(results.map(panel).joined(separator: "\n"))
      </body>
      </html>

      """
  }

  /// What the verdicts mean, each with the switch that shows its cells alone.
  private var legend: String {
    let all = #"<label><input type="radio" name="show" id="show-all" checked>all</label>"#
    let words: [(Verdict, String)] = [
      (.ok, "the truth was seen, nothing was lost"), (.own, "seen as this client can tell it: an exception, a cut"),
      (.blind, "the client can't see it; the cell says why"), (.none, "the client has no such ability"),
      (.missing, "not installed"), (.failed, "not as it should be"),
    ]
    let others = words.map { verdict, meaning in
      "<label class=\"\(verdict.style)\"><input type=\"radio\" name=\"show\" id=\"show-\(verdict.style)\">"
        + "<b>\(verdict.rawValue)</b> \(meaning) (\(count(of: verdict)))</label>"
    }
    return "<form><fieldset><legend>Show</legend>\(([all] + others).joined())</fieldset></form>"
  }

  private var columns: String {
    behaviours.map { "<dt>\($0.id)</dt><dd>\(escaped($0.title)). \(escaped($0.why))</dd>" }.joined()
  }

  private func grid(_ mode: Mode) -> String {
    let heads = behaviours.map { "<th scope=\"col\" title=\"\(escaped($0.title))\">\($0.id)</th>" }.joined()
    let rows = lines(mode: mode).map { line in
      let way = line.transport.id == "h1" ? escaped(line.row.version) : escaped(line.transport.id)
      let cells = line.cells.map { cell in cell.map(field) ?? "<td></td>" }.joined()
      return "<tr><th scope=\"row\">\(escaped(line.row.client.name)) <small>\(way)</small></th>\(cells)</tr>"
    }
    return """
      <section><h2>\(mode.rawValue)</h2><div class="wide"><table>
      <thead><tr><th scope="col">client</th>\(heads)</tr></thead>
      <tbody>\(rows.joined(separator: "\n"))</tbody></table></div></section>
      """
  }

  private func field(_ result: CellResult) -> String {
    let mark = result.isAsExpected ? "" : "!"
    return
      "<td class=\"cell \(result.verdict.style)\"><a href=\"#\(result.cell)\">\(result.verdict.rawValue)\(mark)</a></td>"
  }

  /// What a cell leads to.
  private func panel(_ result: CellResult) -> String {
    let reason = result.reason.map { "<p>\(escaped($0))</p>" } ?? ""
    let note = result.finding.note.isEmpty ? "" : "<p>\(escaped(WitnessText(result).steady(result.finding.note)))</p>"
    let witnesses = JSONValue.object(WitnessText(result).object).sorted.text(.pretty)
    return """
      <aside id="\(result.cell)"><a href="#" class="close">close</a><h3>\(escaped("\(result.cell)")): \
      \(result.verdict.rawValue), expected \(result.expected.rawValue)</h3>\(reason)\(note)
      <pre>\(escaped(witnesses))</pre><p><code>fermata matrix --repeat \(escaped("\(result.cell)"))</code></p></aside>
      """
  }

  private func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;")
  }
}

extension Verdict {
  /// Its class in the page.
  var style: String {
    switch self {
    case .ok: "ok"
    case .own: "own"
    case .blind: "blind"
    case .none: "none"
    case .missing: "missing"
    case .failed: "failed"
    }
  }
}

/// RFC 4648, 4.
private enum Base64 {
  static func text(_ bytes: [UInt8]) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let three = (0..<3).map { start + $0 < bytes.count ? Int(bytes[start + $0]) : 0 }
      let bits = three[0] << 16 | three[1] << 8 | three[2]
      let missing = max(0, start + 3 - bytes.count)
      for place in 0..<4 {
        text.append(place > 3 - missing ? UInt8(ascii: "=") : digits[bits >> (18 - 6 * place) & 63])
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
