import RedisLog
import Testing

@Suite struct RedisFaultTests {
  @Test(arguments: [
    ("READONLY You can't write against a read only replica.", RedisFault.readOnly),
    ("OOM command not allowed when used memory > 'maxmemory'. script: ab, on @user_script:1.", .outOfMemory),
    ("ERR Error running script (call to f_ab): @user_script:4: -OOM command not allowed", .outOfMemory),
    ("ERR Error running script (call to f_ab): @user_script:4: -READONLY You can't write", .readOnly),
    ("MOVED 3999 127.0.0.1:6381", .moved), ("NOPERM this user has no permissions", .noPermission),
    ("MASTERDOWN Link with MASTER is down", .masterDown), ("LOADING Redis is loading the dataset in memory", .loading),
    ("MISCONF Redis is configured to save RDB snapshots", .cannotSave),
    ("NOREPLICAS Not enough good replicas", .noReplicas),
    ("ERR The user executing the script can't run this command or subcommand script: 8a", .noPermission),
    ("OOMPH", .other), ("ERR unknown command 'OOM'", .other), ("ERR -", .other), ("-OOM x", .other), ("", .other),
    ("READONLY", .readOnly), ("ERR x -", .other),
  ])
  func `an error is known by its first word, inside a script's too`(text: String, fault: RedisFault) {
    #expect(RedisFault(text.utf8Span.span) == fault)
  }

  private func info(_ lines: String...) -> RedisServerInfo {
    var info = RedisServerInfo()
    for line in lines { info.read("# Section\r\n\(line)\r\n".utf8Span.span) }
    return info
  }

  @Test func `only a master that is no node of a cluster keeps runs`() {
    let master = info("run_id:abc123\r\nredis_mode:standalone", "role:master")
    #expect(master.runID == "abc123" && master.refusal(allowsCluster: false) == nil)
    #expect(RedisServerInfo().refusal(allowsCluster: false) == nil)
    #expect(info("redis_mode:standalone", "role:slave").refusal(allowsCluster: true)?.contains("replica") == true)
    let node = info("redis_mode:cluster", "role:master")
    #expect(node.refusal(allowsCluster: false)?.contains("Cluster") == true && node.isUnsupported(as: .primary))
    #expect(node.refusal(allowsCluster: true) == nil)
    #expect(node.refusal(as: .node, allowsCluster: false) == nil && !node.isUnsupported(as: .node))
    #expect(info("redis_mode:cluster", "role:slave").refusal(as: .node, allowsCluster: false) == nil)
    #expect(master.refusal(as: .node, allowsCluster: true)?.contains("no node") == true)
    #expect(info("redis_mode:sentinel").refusal(allowsCluster: true)?.contains("Sentinel") == true)
  }

  @Test(arguments: [
    ("6.2.0", true), ("7.0.15", true), ("10.0", true), ("6.0.16", false), ("5.0.7", false), ("2.8", false), ("", true),
    ("7", true), ("99999999999999999999.1", false), ("unstable", true),
  ])
  func `a server that is too old is refused at the start`(release: String, isGood: Bool) {
    let server = info("redis_version:\(release)\r\nredis_mode:standalone", "role:master")
    #expect((server.refusal(allowsCluster: true) == nil) == isGood && server.isUnsupported(as: .primary) == !isGood)
    #expect(isGood || server.refusal(allowsCluster: false)?.contains("6.2") == true)
  }

  @Test func `what a server says about itself is no more than a word`() {
    let odd = info("run_id:a b\u{0}\"c\r\nrun_id", "role:" + String(repeating: "x", count: 1000))
    #expect(odd.runID == "abc" && odd.role.count == 64)
  }
}
