import Flags
import JSON
import Testing
import Time

@Suite struct `Audit` {
  private func record(_ kind: AuditRecord.Kind, _ revision: Int) -> AuditRecord {
    var record = AuditRecord(
      kind: kind, time: WallTime(milliseconds: 1_790_000_000_000), actor: "ann@host", uid: 1000, host: "host", pid: 7,
      verb: "set", key: "stream-closing", reason: "line\nbreak \"quoted\"", ticket: "OPS-1")
    record.fromRevision = revision - 1
    record.toRevision = revision
    return record
  }

  private func log(_ records: [AuditRecord]) -> [String] {
    var link = AuditChain.Link.beginning
    return records.map { record in
      let line = record.line(after: link)
      link = line.link
      return line.text
    }
  }

  private var whole: [String] { log((2...5).flatMap { [record(.intent, $0), record(.commit, $0)] }) }

  @Test func `an untouched log is good, and goes on where it ended`() {
    #expect(AuditChain.verify(whole) == [])
    #expect(AuditChain.last(of: whole).sequence == 8)
    let more = whole + [record(.intent, 6).line(after: AuditChain.last(of: whole)).text]
    #expect(AuditChain.verify(more).map(\.isUnfinished) == [true])
    #expect(whole.allSatisfy { !$0.contains("\n") })
  }

  @Test func `every change of a line is seen`() {
    for index in whole.indices {
      for (from, to) in [("ann@host", "bob@host"), ("OPS-1", "OPS-2"), ("\"toRevision\":", "\"toRevision\":1")] {
        var changed = whole
        changed[index] = changed[index].replacing(from, with: to)
        #expect(AuditChain.verify(changed).contains { $0.line == index + 1 && !$0.isUnfinished })
      }
      var shortened = whole
      shortened.remove(at: index)
      if index < whole.count - 1 { #expect(AuditChain.verify(shortened).contains { !$0.isUnfinished }) }
      var torn = whole
      torn[index] = String(torn[index].dropLast(9))
      #expect(!AuditChain.verify(torn).isEmpty)
    }
    var swapped = whole
    swapped.swapAt(2, 3)
    #expect(!AuditChain.verify(swapped).isEmpty)
  }

  @Test func `an intent without its commit is told`() {
    let records = [record(.intent, 2), record(.commit, 2), record(.intent, 3), record(.intent, 4), record(.commit, 4)]
    #expect(AuditChain.verify(log(records)).map(\.line) == [3])
  }

  @Test func `identities are left out of what is written down`() throws {
    let rollout = Rollout.start(
      variant: "graceful", fallback: "legacy", phases: RolloutPhase.plan(), internalKeys: ["alice@example.org"],
      internalHeader: .init(name: "x-internal", value: "secret"), at: WallTime(milliseconds: 0))
    let old = `A rollout`.base
    let new = FlagEdit.setRollout(rollout, of: "stream-closing", in: old)
    let patch = JSONValue.array(
      JSONPatch.difference(from: Redaction.redacted(old), to: Redaction.redacted(new))
    ).text()
    #expect(new.text().contains("alice") && !patch.contains("alice") && !patch.contains("secret"))
    #expect(patch.contains("$rollouts") && patch.contains("graceful") && patch.contains("fractional"))
  }

  @Test func `a patch names what was added, replaced and removed`() {
    let old: JSONValue = ["a": ["b": 1, "c/d": 2], "e": [1]]
    let new: JSONValue = ["a": ["b": 2], "e": [1], "f": "x"]
    #expect(
      JSONPatch.difference(from: old, to: new) == [
        ["op": "replace", "path": "/a/b", "value": 2], ["op": "remove", "path": "/a/c~1d"],
        ["op": "add", "path": "/f", "value": "x"],
      ])
  }

  @Test func `log and file agree, or it is said what is missing`() {
    func hash(_ line: String) -> String { (try? JSONValue(parsing: line))?["hash"]?.string ?? "" }
    var record = record(.intent, 6)
    (record.fileHashBefore, record.fileHashAfter) = ("five", "six")
    let intent = record.line(after: AuditChain.last(of: whole))
    record.kind = .commit
    let lines = whole + [intent.text, record.line(after: intent.link).text]
    let file = AuditedFile(hash: "six", revision: 6, lineHash: hash(whole[7]))
    #expect(file.disagreement(with: lines) == nil)
    // Its writer died before the file, or before the last line.
    let before = AuditedFile(hash: "five", revision: 5, lineHash: hash(whole[5]))
    #expect(before.disagreement(with: lines.dropLast()) == nil)
    #expect(file.disagreement(with: lines.dropLast()) == nil)
    #expect(file.disagreement(with: lines.dropLast(2)) == .changeHasNoLines)
    #expect(file.disagreement(with: lines.dropLast(3)) == .linesAreCut)
    #expect(file.disagreement(with: []) == .logIsGone)
    let edited = AuditedFile(hash: "seven", revision: 6, lineHash: file.lineHash)
    #expect(edited.disagreement(with: lines) == .fileIsChanged(knownHash: "six"))
    // A file that no command has written, without a log or with one of another file.
    #expect(AuditedFile(hash: "x", revision: 1, lineHash: "").disagreement(with: []) == nil)
    #expect(
      AuditedFile(hash: "x", revision: 9, lineHash: "").disagreement(with: lines) == .fileIsChanged(knownHash: "six"))
  }

  @Test func `what was written last is missed, whatever the file says`() {
    let lines = whole
    let last = AuditChain.last(of: lines)
    for lineHash in ["", "x"] {
      let file = AuditedFile(hash: "", revision: 5, lineHash: lineHash, written: last)
      #expect(file.disagreement(with: lines) == nil)
      #expect(file.disagreement(with: lines.dropLast()) == .linesAreCut)
      #expect(file.disagreement(with: []) == .logIsGone)
      #expect(file.unfinishedChange(in: lines.dropLast()) == nil)
      let rotated = record(.rotated, 5).line(after: last)
      #expect(file.disagreement(with: [rotated.text]) == nil)
      #expect(file.disagreement(with: [record(.rotated, 5).line(after: .init(sequence: 6, hash: "x")).text]) != nil)
    }
    #expect(AuditedFile(hash: "", revision: 5, lineHash: "").unfinishedChange(in: lines.dropLast())?["seq"] == 7)
  }

  @Test func `a file in a shorter form is what an urgent change made of it, and no other`() {
    var intent = record(.intent, 6)
    (intent.fileHashBefore, intent.fileHashAfter, intent.fileHashesInPlace) = ("five", "six", ["compact", "bare"])
    let lines = whole + [intent.line(after: AuditChain.last(of: whole)).text]
    for (hash, isKnown) in [("five", true), ("six", true), ("compact", true), ("bare", true), ("other", false)] {
      let file = AuditedFile(hash: hash, revision: 6, lineHash: AuditChain.last(of: whole).hash)
      #expect((file.disagreement(with: lines) == nil) == isKnown, "\(hash)")
      #expect((file.unfinishedChange(in: lines) != nil) == (isKnown && hash != "five"), "\(hash)")
    }
  }

  @Test(arguments: [
    (2, "changed"), (2, "taken out"), (2, "garbage"), (2, "empty object"), (7, "changed"), (7, "garbage"),
    (0, "taken out"),
  ])
  func `what a later line tells of is no fault any more, and the next lines are good`(_ index: Int, _ what: String) {
    var lines = whole
    switch what {
    case "changed": lines[index] = lines[index].replacing("ann@host", with: "bob@host")
    case "taken out": lines.remove(at: index)
    case "empty object": lines[index] = "{}"
    default: lines[index] = "garbage"
    }
    let breaks = AuditChain.verify(lines).filter(\.isBreak)
    #expect(!breaks.isEmpty)
    let untold = lines + [record(.found, 5).line(after: AuditChain.last(of: lines)).text]
    #expect(AuditChain.verify(untold).filter(\.isBreak) == breaks)
    var found = record(.found, 5)
    found.problems = breaks
    lines.append(found.line(after: AuditChain.last(of: lines)).text)
    lines.append(record(.intent, 6).line(after: AuditChain.last(of: lines)).text)
    lines.append(record(.commit, 6).line(after: AuditChain.last(of: lines)).text)
    let after = AuditChain.verify(lines).filter { !$0.isUnfinished }
    let told = "(line \(lines.count - 2) tells of it)"
    #expect(after.filter(\.isBreak).isEmpty, "\(after)")
    #expect(after.allSatisfy { $0.description.contains(told) }, "\(after)")
    // Another change of the same line is another one, and what tells of it must be unchanged itself.
    if what == "changed" {
      var again = lines
      again[index] = again[index].replacing("bob@host", with: "eve@host")
      #expect(AuditChain.verify(again).contains { $0.isBreak && $0.line == index + 1 })
    }
    lines[lines.count - 3] = lines[lines.count - 3].replacing("ann@host", with: "eve@host")
    #expect(AuditChain.verify(lines).contains { $0.isBreak && $0.line != lines.count - 2 })
  }

  @Test func `a rotated log is whole, and a wrong beginning is not`() {
    let link = AuditChain.last(of: whole)
    let rotated = record(.rotated, 5).line(after: link)
    let lines = [rotated.text, record(.intent, 6).line(after: rotated.link).text]
    #expect(AuditChain.verify(lines).map(\.isUnfinished) == [true])
    let wrong = [record(.intent, 6).line(after: link).text]
    #expect(AuditChain.verify(wrong).contains { !$0.isUnfinished })
  }
}
