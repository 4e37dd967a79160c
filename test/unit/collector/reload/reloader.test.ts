/** Reloads of the config, with real files and their watches. Applying is a list here. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { pino } from 'pino'
import { configOrThrow, parseConfigFile } from '../../../../config/agent/check.ts'
import type { Config } from '../../../../config/agent/schema.ts'
import { Reloader } from '../../../../collector/reload/reloader.ts'
import { until } from '../../exporters/support/fake-clock.ts'
import { Folder } from '../../exporters/support/folder.ts'

const BASE = 'exporters: { bus: { type: kafka, brokers: ["a:9092"], topic: one } }\n'

interface Line {
  readonly level: number
  readonly msg: string
  readonly key?: string
  readonly from?: string
  readonly to?: string
  readonly reason?: string
}

class Rig implements Disposable {
  readonly folder = new Folder()
  readonly file = this.folder.at('ktrail.yaml')
  readonly applied: Config[] = []
  readonly lines: Line[] = []
  readonly changed: Array<readonly string[]> = []
  /** Error that the next apply throws. */
  refusal: Error | undefined
  /** Promise for which a running apply waits. */
  gate: Promise<void> = Promise.resolve()
  running = 0

  /** `text`: of the file, when there is none yet. */
  async start(text = BASE): Promise<Reloader> {
    const { file } = this
    if (!existsSync(file)) writeFileSync(file, text)
    const log = pino({ level: 'trace' }, { write: (line) => void this.lines.push(JSON.parse(line)) })
    return new Reloader({
      file,
      env: {},
      loaded: configOrThrow(await parseConfigFile(file, {})),
      log,
      changed: (keys) => void this.changed.push(keys),
      apply: async (next) => {
        assert.equal(++this.running, 1, 'two reloads at once')
        await this.gate
        this.running--
        if (this.refusal !== undefined) throw this.refusal
        this.applied.push(next)
      },
    })
  }

  errors(): string[] {
    return this.lines.flatMap(({ level, reason }) => (level >= 50 ? [reason ?? ''] : []))
  }

  [Symbol.dispose](): void {
    this.folder[Symbol.dispose]()
  }
}

describe('reloads of the config', () => {
  it('apply what changed, log it key by key without secrets, and are counted', async () => {
    using rig = new Rig()
    using reloader = await rig.start(`${BASE}log: { level: warn }\n`)
    const secret = 'exporters: { bus: { sasl: { mechanism: plain, username: u, password: sesame-open } } }\n'
    mkdirSync(rig.folder.at('config.d'))
    writeFileSync(rig.folder.at('config.d/1.yaml'), `${secret}log: { level: debug }\nshutdown: { grace: 20s }\n`)
    await reloader.reload()
    assert.equal(rig.applied.length, 1)
    const changes = rig.lines.filter(({ msg }) => msg === 'config changed')
    const shown = changes.map(({ key, from, to }) => `${key}: ${from} -> ${to}`)
    assert.ok(shown.includes('shutdown.grace: "10s" -> "20s"'), shown.join('\n'))
    assert.ok(shown.includes('log.level: "warn" -> "debug"'), shown.join('\n'))
    assert.ok(shown.includes('exporters.bus.sasl.password: undefined -> "[redacted]"'), shown.join('\n'))
    assert.doesNotMatch(JSON.stringify([rig.lines, rig.changed]), /sesame/)
    const sasl = ['mechanism', 'username', 'password'].map((key) => `exporters.bus.sasl.${key}`)
    assert.deepEqual(
      rig.changed.map((keys) => keys.toSorted()),
      [['log.level', 'shutdown.grace', ...sasl].toSorted()],
    )
    const { counts, files, refused } = reloader.state
    assert.deepEqual([counts, files.length, refused], [{ applied: 1, unchanged: 0, refused: 0 }, 2, undefined])
  })

  it('apply a change of a long name that begins as another one', async () => {
    using rig = new Rig()
    const config = (severity: string): string => {
      const [one, other] = ['1', '2'].map((end) => 'p'.repeat(65) + end)
      return `exporters: { a: { type: otlp, severity: { policies: { ${one}: ${severity}, ${other}: warn } } } }\n`
    }
    using reloader = await rig.start(config('warn'))
    writeFileSync(rig.file, config('error'))
    await reloader.reload()
    assert.equal(rig.applied.length, 1)
  })

  it('of a wrong file are refused with file, line and column, once for each change; the next good one is applied', async () => {
    using rig = new Rig()
    using reloader = await rig.start()
    reloader.watch()
    const { hash, sinceMs } = reloader.state
    writeFileSync(rig.file, `${BASE}log: { level: loud }\n`)
    await until('the file is refused', () => rig.errors().length === 1)
    assert.match(rig.errors()[0] ?? '', /ktrail\.yaml:2:15: log\.level: expected one of/)
    // The watch checks again, and finds the same mistake.
    writeFileSync(rig.folder.at('ktrail.yaml.tmp'), `${BASE}log: { level: loud }\n`)
    renameSync(rig.folder.at('ktrail.yaml.tmp'), rig.file)
    writeFileSync(rig.file, `${BASE}a: [\n`)
    await until('the second mistake is refused', () => rig.errors().some((reason) => /ktrail\.yaml:2:4: /.test(reason)))
    assert.ok(rig.errors().length <= 3)
    const { refused, counts, ...state } = reloader.state
    assert.deepEqual([state.hash, state.sinceMs, rig.applied], [hash, sinceMs, []])
    assert.equal(refused?.reason, rig.errors().at(-1))
    assert.equal(counts.applied, 0)
    writeFileSync(rig.file, BASE.replace('one', 'two'))
    await until('the file is applied', () => reloader.state.counts.applied === 1)
    assert.notEqual(reloader.state.hash, hash)
    assert.ok(reloader.state.refused !== undefined, 'the last refusal is no longer shown')
  })

  it('follow the symlink swap of a ConfigMap, and a drop-in folder that appears', async () => {
    using rig = new Rig()
    const map = (name: string, topic: string): void => {
      mkdirSync(rig.folder.at(name))
      writeFileSync(rig.folder.at(`${name}/ktrail.yaml`), BASE.replace('one', topic))
    }
    map('..1', 'one')
    symlinkSync('..1', rig.folder.at('..data'))
    symlinkSync('..data/ktrail.yaml', rig.file)
    using reloader = await rig.start()
    reloader.watch()
    const topics = (): unknown[] => rig.applied.map(({ exporters: { bus } }) => bus?.type === 'kafka' && bus.topic)
    for (const [i, topic] of ['two', 'three'].entries()) {
      map(`..${i + 2}`, topic)
      symlinkSync(`..${i + 2}`, rig.folder.at('..tmp'))
      renameSync(rig.folder.at('..tmp'), rig.folder.at('..data'))
      rmSync(rig.folder.at(`..${i + 1}`), { recursive: true })
      await until(`topic ${topic} is applied`, () => topics().at(-1) === topic)
    }
    mkdirSync(rig.folder.at('config.d'))
    writeFileSync(rig.folder.at('config.d/a.yaml'), 'exporters: { bus: { topic: four } }')
    await until('the drop-in file is applied', () => topics().at(-1) === 'four')
    rmSync(rig.folder.at('config.d'), { recursive: true })
    await until('it is gone', () => topics().at(-1) === 'three')
  })

  it('notice a secret that is replaced in its file', async () => {
    using rig = new Rig()
    writeFileSync(rig.folder.at('password'), 'one\n')
    const sasl = `sasl: { mechanism: plain, username: u, password: "\${file:${rig.folder.at('password')}}" }`
    using reloader = await rig.start(BASE.replace('topic: one', `topic: one, ${sasl}`))
    reloader.watch()
    writeFileSync(rig.folder.at('password'), 'two\n')
    await until('the password is applied', () => rig.applied.length === 1)
    const [change] = rig.lines.filter(({ msg }) => msg === 'config changed')
    assert.deepEqual([change?.key, change?.to], ['exporters.bus.sasl.password', '"[redacted]"'])
  })

  it('of keys that require a restart are refused as a whole, and each key is named at its line', async () => {
    using rig = new Rig()
    using reloader = await rig.start()
    writeFileSync(rig.file, `${BASE.replace('one', 'two')}ring: { size: 32MiB }\nserver:\n  http: 127.0.0.1:9999\n`)
    await reloader.reload()
    const [reason = ''] = rig.errors()
    assert.match(reason, /ktrail\.yaml:2:15: ring\.size: requires a restart of the agent \(now "16MiB", here "32MiB"\)/)
    assert.match(reason, /ktrail\.yaml:4:9: server\.http: requires a restart/)
    writeFileSync(rig.file, `${BASE}containers: {}\n`)
    await reloader.reload()
    assert.match(
      rig.errors()[1] ?? '',
      /containers\.labels: requires a restart of the agent \(now nothing, here \[\]\)/,
    )
    assert.deepEqual(rig.applied, [])
  })

  it('come one at a time: two signals during one share the next, and find nothing new', async () => {
    using rig = new Rig()
    using reloader = await rig.start()
    const { promise, resolve } = Promise.withResolvers<void>()
    rig.gate = promise
    writeFileSync(rig.file, BASE.replace('one', 'two'))
    const first = reloader.reload()
    await until('it is applied', () => rig.running === 1)
    const more = Promise.all([reloader.reload(), reloader.reload()])
    resolve()
    await Promise.all([first, more])
    assert.deepEqual(reloader.state.counts, { applied: 1, unchanged: 1, refused: 0 })
  })

  it('that an exporter refuses keep the config, and are tried again on request', async () => {
    using rig = new Rig()
    using reloader = await rig.start()
    const { hash } = reloader.state
    rig.refusal = new Error('exporters.bus: cannot open')
    writeFileSync(rig.file, BASE.replace('one', 'two'))
    await reloader.reload()
    assert.deepEqual([reloader.state.hash, reloader.state.refused?.reason], [hash, 'exporters.bus: cannot open'])
    rig.refusal = undefined
    await reloader.reload()
    assert.notEqual(reloader.state.hash, hash)
    assert.deepEqual(reloader.state.counts, { applied: 1, unchanged: 0, refused: 1 })
  })

  it('are refused while the agent stops, and the stop waits for a running one', async () => {
    using rig = new Rig()
    using reloader = await rig.start()
    const { promise, resolve } = Promise.withResolvers<void>()
    rig.gate = promise
    writeFileSync(rig.file, BASE.replace('one', 'two'))
    const running = reloader.reload()
    await until('it is applied', () => rig.running === 1)
    let ended = false
    const end = reloader.end().then(() => (ended = true))
    assert.equal(ended, false)
    resolve()
    await Promise.all([running, end])
    assert.equal(rig.applied.length, 1)
    await reloader.reload()
    assert.equal(reloader.state.refused?.reason, 'the agent stops')
  })
})
