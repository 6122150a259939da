import RedisLog
import Testing

struct RedisSettingsTests {
  @Test func `a URL names host, port, database and account`() throws {
    let plain = try RedisSettings(url: "redis://cache.example")
    #expect(plain.host == "cache.example" && plain.port == 6379 && plain.database == 0 && !plain.usesTLS)
    #expect(plain.user == nil && plain.password == nil)
    let full = try RedisSettings(url: "rediss://app:p%40ss%3A%2F@[2001:db8::1]:6380/7")
    #expect(full.host == "2001:db8::1" && full.port == 6380 && full.database == 7 && full.usesTLS)
    #expect(full.user == "app" && full.password == "p@ss:/")
    let password = try RedisSettings(url: "redis://:word@127.0.0.1:7000/")
    #expect(password.user == nil && password.password == "word" && password.port == 7000)
  }

  @Test func `a URL names Sentinels and what they call the primary`() throws {
    let one = try RedisSettings(url: "redis+sentinel://main.db_1-a@watch.example")
    #expect(one.sentinel?.primary == "main.db_1-a" && one.database == 0 && !one.usesTLS)
    #expect(one.addresses == [RedisAddress(host: "watch.example", port: 26_379)])
    let three = try RedisSettings(url: "rediss+sentinel://m@a:1,[::1]:26380,10.0.0.3/5")
    #expect(three.addresses.map(\.description) == ["a:1", "[::1]:26380", "10.0.0.3:26379"])
    #expect(three.usesTLS && three.database == 5 && three.user == nil && three.password == nil)
    #expect("\(three)" == "rediss+sentinel://m@a:1,[::1]:26380,10.0.0.3:26379/5")
  }

  @Test func `a URL names servers of a cluster, and the same cluster is known by any of them`() throws {
    let one = try RedisSettings(url: "redis+cluster://a")
    #expect(one.cluster == [RedisAddress(host: "a", port: 6379)] && one.usesHashTags && !one.usesTLS)
    let three = try RedisSettings(url: "rediss+cluster://app:word@a:1,[::1]:2,b/0")
    #expect(three.addresses.map(\.description) == ["a:1", "[::1]:2", "b:6379"] && three.usesTLS)
    #expect(three.user == "app" && three.password == "word")
    #expect("\(three)" == "rediss+cluster://app:***@a:1,[::1]:2,b:6379/0")
    #expect(one.isSamePlace(as: try RedisSettings(url: "redis+cluster://b,a")))
    for other in ["redis+cluster://b", "redis://a", "rediss+cluster://a", "redis+sentinel://m@a:6379"] {
      #expect(!one.isSamePlace(as: try RedisSettings(url: other)), "\(other)")
      #expect(!(try RedisSettings(url: other)).isSamePlace(as: one), "\(other)")
    }
  }

  @Test func `the same group under one more Sentinel is the same place, another group is not`() throws {
    let first = try RedisSettings(url: "redis+sentinel://m@a,b")
    #expect(first.isSamePlace(as: try RedisSettings(url: "redis+sentinel://m@b,c")))
    for other in ["redis+sentinel://m@c,d", "redis+sentinel://n@a,b", "redis+sentinel://m@a/1", "redis://a:26379"] {
      #expect(!first.isSamePlace(as: try RedisSettings(url: other)), "\(other)")
      #expect(!(try RedisSettings(url: other)).isSamePlace(as: first), "\(other)")
    }
  }

  @Test(
    arguments: [
      ("redis+sentinel://a:26379", RedisURLError.primary), ("redis+sentinel://@a", .primary),
      ("redis+sentinel://u:p@a", .primary), ("redis+sentinel://m@", .host), ("redis+sentinel://m@a,", .host),
      ("redis+sentinel://m@a,,b", .host), ("redis+sentinel://m@a:0", .port), ("redis+sentinel://m@a,b:x", .port),
      ("redis+cluster://a/1", .clusterDatabase), ("redis+cluster://", .host), ("redis+cluster://a,", .host),
      ("redis+cluster://u@a", .credentials), ("redis+cluster://a:0", .port), ("redis+clusters://a", .scheme),
      ("redis+sentinel://m@a/x", .database), ("redis+sentinel://m@a?x", .extra), ("redis+sentinels://m@a", .scheme),
      ("http://x", .scheme), ("redis:/x", .scheme), ("REDIS://x", .scheme), ("redis://", .host),
      ("redis://:6379", .host), ("redis://a b", .host), ("redis://h\u{0}", .host), ("redis://h:0", .port),
      ("redis://h:65536", .port), ("redis://h:", .port), ("redis://h:+1", .port), ("redis://h/x", .database),
      ("redis://h/1/2", .database), ("redis://h/-1", .database), ("redis://h?db=1", .extra), ("redis://h#1", .extra),
      ("redis://user@h", .credentials), ("redis://u:@h", .credentials), ("redis://u:%zz@h", .credentials),
      ("redis://u:%0d@h", .credentials), ("redis://u:%ff@h", .credentials), ("redis://u:a@b@h", .credentials),
      ("redis://[::1", .host), ("redis://[::1]x", .port), ("redis://[host]", .host), ("redis://ä", .host),
    ]) func `what is not exactly one is refused, and the fault holds nothing of it`(url: String, fault: RedisURLError)
  {
    #expect(throws: fault) { try RedisSettings(url: url) }
  }

  @Test func `settings print without the password`() throws {
    let settings = try RedisSettings(url: "rediss://app:s3cret@h:1/2")
    #expect("\(settings)" == "rediss://app:***@h:1/2")
    #expect(!String(reflecting: settings.description).contains("s3cret"))
  }
}
