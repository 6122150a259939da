/// Guesses what a misspelt name was meant to be.
package enum Spelling {
  /// The candidate that fewest single-character edits turn `word` into; `nil` when none is near.
  package static func nearest(to word: String, among candidates: [String]) -> String? {
    let limit = max(1, min(3, word.utf8.count / 3))
    var best: (name: String, distance: Int)?
    for candidate in candidates where candidate != word {
      let distance = editDistance([UInt8](word.lowercased().utf8), [UInt8](candidate.lowercased().utf8))
      if distance <= limit, distance < best?.distance ?? Int.max { best = (candidate, distance) }
    }
    return best?.name
  }

  /// How many letters have to be put in, taken out, changed, or swapped with their neighbour (the optimal string
  /// alignment distance), one row at a time.
  private static func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var (before, last) = ([Int](), Array(0...right.count))
    for (i, byte) in left.enumerated() {
      var row = [i + 1]
      for (j, other) in right.enumerated() {
        var distance = min(last[j] + (byte == other ? 0 : 1), row[j] + 1, last[j + 1] + 1)
        if i > 0, j > 0, byte == right[j - 1], left[i - 1] == other { distance = min(distance, before[j - 1] + 1) }
        row.append(distance)
      }
      (before, last) = (last, row)
    }
    return last[right.count]
  }
}
