import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Event, Hook, NamedContainer, Pod, Process } from '../../../../exporters/contract/event.ts'
import type { FilterConfig, TetragonFilterConfig } from '../../../../config/agent/schema.ts'
import { createFilter } from '../../../../exporters/filtering/filter.ts'
import {
  makeContainer,
  makeExec,
  makeExit,
  makeHook,
  makeKprobe,
  makeLoss,
  makeParent,
  makeNamedContainer,
  makePod,
  makeProcess,
} from '../support/events.ts'

const accepts = (config: FilterConfig, event: Event): boolean => createFilter(config).accepts(event)

const exec = (change: Partial<Process> = {}, parent: Partial<Process> = {}): Event =>
  makeExec({ process: makeProcess(change), parent: makeParent(parent) })
const kprobe = (policy: string): Event => makeKprobe({ hook: makeHook({ policy }) })
const tagged = (...tags: string[]): Event => makeKprobe({ hook: makeHook({ tags }) })
const inPod = (pod: Partial<Pod> = {}, change: Partial<Process> = {}): Event =>
  exec({ pod: makePod({ namespace: 'shop', name: 'web-7d9f-x2', ...pod }), ...change })
const named = (container: Partial<NamedContainer> = {}): Event => exec({ container: makeNamedContainer(container) })
const probe = inPod({}, { execProbe: true })
const orphan = makeExec({ parent: undefined })
const loss = makeLoss()

interface Row {
  readonly filter: FilterConfig
  readonly yes: readonly Event[]
  readonly no: readonly Event[]
}

const KEYS: Readonly<Record<string, Row>> = {
  'policies: exact': {
    filter: { policies: ['files'] },
    yes: [kprobe('files')],
    no: [kprobe('file'), kprobe('files2')],
  },
  'policies: a star': {
    filter: { policies: ['file-*'] },
    yes: [kprobe('file-a')],
    no: [kprobe('file'), kprobe('xfile-a')],
  },
  'policies: not for processes': { filter: { policies: ['*'] }, yes: [kprobe('x')], no: [exec(), makeExit()] },
  'severity: one, by the first tag with one': {
    filter: { severity: 'high' },
    yes: [tagged('severity.high'), tagged('attack.t1', 'severity.hihg', 'severity.high', 'severity.low'), loss],
    no: [tagged('severity.critical'), tagged('severity.low', 'severity.high'), tagged('high'), exec()],
  },
  'severity: a lower limit': {
    filter: { severity: '>= high' },
    yes: [tagged('severity.high'), tagged('severity.critical')],
    no: [tagged('severity.medium'), tagged('severity.low'), tagged(), kprobe('x'), exec(), makeExit()],
  },
  'severity: its complement has all other events': {
    filter: { severity: '<high' },
    yes: [tagged('severity.medium'), tagged('severity.low'), tagged(), tagged('severity.other'), exec(), makeExit()],
    no: [tagged('severity.high'), tagged('severity.critical')],
  },
  'severity: none, and any': { filter: { severity: 'none' }, yes: [exec(), tagged()], no: [tagged('severity.low')] },
  'severity: above none': { filter: { severity: '> none' }, yes: [tagged('severity.low')], no: [exec(), tagged()] },
  'severity: at most': {
    filter: { severity: '<= low' },
    yes: [tagged('severity.low'), exec()],
    no: [tagged('severity.medium')],
  },
  tags: {
    filter: { tags: ['pci', 'attack.t1*'] },
    yes: [tagged('x', 'pci'), tagged('attack.t1552'), loss],
    no: [tagged('pcix'), tagged(), exec(), makeExit()],
  },
  'tags and severity': {
    filter: { tags: ['pci'], severity: '>= medium' },
    yes: [tagged('pci', 'severity.medium')],
    no: [tagged('pci'), tagged('severity.high')],
  },
  event_types: {
    filter: { event_types: ['process_exec', 'process_kprobe'] },
    yes: [exec(), kprobe('x'), loss],
    no: [makeExit()],
  },
  'namespaces: the host': { filter: { namespaces: [''] }, yes: [exec()], no: [inPod()] },
  'namespaces: by name': {
    filter: { namespaces: ['shop', 'bank*'] },
    yes: [inPod(), inPod({ namespace: 'bank-1' })],
    no: [exec(), inPod({ namespace: 'shop2' })],
  },
  'namespaces: a lone star is all, the host too': { filter: { namespaces: ['*'] }, yes: [exec(), inPod()], no: [] },
  pods: { filter: { pods: ['web-*'] }, yes: [inPod()], no: [exec(), inPod({ name: 'db-web-1' })] },
  workloads: {
    filter: { workloads: ['web', 'db-*'] },
    yes: [inPod({ workload: 'web' }), inPod({ workload: 'db-1' })],
    no: [exec(), inPod({ workload: 'web2' })],
  },
  'containers: in a pod or by its runtime': {
    filter: { containers: ['w*', 'file-access'] },
    yes: [inPod(), named()],
    no: [exec(), named({ name: 'db' }), inPod({ container: undefined })],
  },
  'images: in a pod or by its runtime': {
    filter: { images: ['*/library/*'] },
    yes: [inPod(), named()],
    no: [exec(), named({ image: 'nginx' }), inPod({ container: undefined })],
  },
  'containers: of Tetragon by name and label': {
    filter: {
      allow: [{ container_name_regex: ['^web$'], labels: ['com.docker.compose.service in (shop)'] }],
    },
    yes: [named()],
    no: [exec(), named({ name: 'web2' }), named({ labels: {} }), inPod()],
  },
  'binaries: whole path': {
    filter: { binaries: ['/bin/vi'] },
    yes: [exec()],
    no: [exec({ binary: '/bin/vim' }), exec({ binary: '/usr/bin/vi' })],
  },
  'binaries: a star passes slashes': {
    filter: { binaries: ['/usr/*sh'] },
    yes: [exec({ binary: '/usr/local/bin/bash' })],
    no: [exec({ binary: '/usr/bin/bash5' }), exec({ binary: '/opt/usr/bash' })],
  },
  'binaries: a dot is a dot': {
    filter: { binaries: ['/bin/a.b*'] },
    yes: [exec({ binary: '/bin/a.bc' })],
    no: [exec({ binary: '/bin/axbc' })],
  },
  'binary_regex: anywhere': { filter: { binary_regex: ['in/v'] }, yes: [exec()], no: [exec({ binary: '/bin/emacs' })] },
  'binary_regex: bound': {
    filter: { binary_regex: ['^/bin/v', 'sh$'] },
    yes: [exec(), exec({ binary: '/x/sh' })],
    no: [exec({ binary: '/usr/bin/vi' })],
  },
  'binary_regex: case': { filter: { binary_regex: ['(?i)VI$'] }, yes: [exec()], no: [exec({ binary: '/bin/vix' })] },
  arguments_regex: {
    filter: { arguments_regex: ['passwd'] },
    yes: [exec()],
    no: [exec({ arguments: '/etc/shadow' }), exec({ arguments: '' }, { arguments: 'passwd' })],
  },
  'health_checks: drop': {
    filter: { health_checks: 'drop' },
    yes: [exec(), inPod(), inPod({}, { execProbe: false })],
    no: [probe, exec({}, { pod: makePod(), execProbe: true })],
  },
  'health_checks: keep': { filter: { health_checks: 'keep' }, yes: [probe], no: [] },
  'all keys must hold': {
    filter: { policies: ['x'], binaries: ['/bin/vi'] },
    yes: [kprobe('x')],
    no: [exec(), makeKprobe({ hook: makeHook({ policy: 'x' }), process: makeProcess({ binary: '/b' }) })],
  },
}

const FIELDS: Readonly<Record<string, Omit<Row, 'filter'> & { readonly filter: TetragonFilterConfig }>> = {
  'an empty filter matches all': { filter: {}, yes: [exec(), orphan, kprobe('x')], no: [] },
  event_set: { filter: { event_set: ['PROCESS_EXIT', 'PROCESS_LSM'] }, yes: [makeExit()], no: [exec(), kprobe('x')] },
  'policy_names are exact': {
    filter: { policy_names: ['a*', 'b'] },
    yes: [kprobe('b'), kprobe('a*')],
    no: [kprobe('ab'), exec()],
  },
  'binary_regex is not anchored': {
    filter: { binary_regex: ['bin'] },
    yes: [exec()],
    no: [exec({ binary: '/sb/in' })],
  },
  parent_binary_regex: {
    filter: { parent_binary_regex: ['/sh$'] },
    yes: [exec()],
    no: [orphan, exec({ binary: '/bin/sh' }, { binary: '/bin/bash5' })],
  },
  arguments_regex: { filter: { arguments_regex: ['^/etc'] }, yes: [exec()], no: [exec({ arguments: 'x /etc' })] },
  parent_arguments_regex: {
    filter: { parent_arguments_regex: ['-c'] },
    yes: [exec({}, { arguments: '-c vi' })],
    no: [orphan, exec(), exec({ arguments: '-c' })],
  },
  pid: {
    filter: { pid: [1, 64746] },
    yes: [exec(), exec({ pid: 1 })],
    no: [exec({ pid: 64747 }), exec({ pid: 2 }, { pid: 1 })],
  },
  'in_init_tree: true': {
    filter: { in_init_tree: true },
    yes: [exec({ inInitTree: true })],
    no: [exec({ inInitTree: false }), exec()],
  },
  'in_init_tree: false, also when not known': {
    filter: { in_init_tree: false },
    yes: [exec({ inInitTree: false }), exec()],
    no: [exec({ inInitTree: true })],
  },
  'container_id is a regex': {
    filter: { container_id: ['^6b74'] },
    yes: [exec()],
    no: [exec({ docker: '' }), exec({ docker: 'a6b74' })],
  },
  container_name_regex: {
    filter: { container_name_regex: ['side'] },
    yes: [inPod({ container: makeContainer({ name: 'sidecar' }) })],
    no: [exec(), inPod(), inPod({ container: undefined })],
  },
  'namespace is exact': {
    filter: { namespace: ['shop'] },
    yes: [inPod()],
    no: [exec(), inPod({ namespace: 'shop-2' })],
  },
  'namespace "" is the host': { filter: { namespace: [''] }, yes: [exec()], no: [inPod()] },
  'namespace_regex never matches the host': {
    filter: { namespace_regex: ['^sh', '.*'] },
    yes: [inPod()],
    no: [exec()],
  },
  namespace_regex: { filter: { namespace_regex: ['op$'] }, yes: [inPod()], no: [inPod({ namespace: 'shops' })] },
  pod_regex: {
    filter: { pod_regex: ['^web-', '^db'] },
    yes: [inPod(), inPod({ name: 'db-0' })],
    no: [exec(), inPod({ name: 'x-web-' })],
  },
  'labels: equality': {
    filter: { labels: ['app=web'] },
    yes: [inPod({ labels: { app: 'web' } })],
    no: [exec(), inPod(), inPod({ labels: { app: 'web2' } })],
  },
  'labels: one selector is enough, all of its parts': {
    filter: { labels: ['app=web,tier in (a, b)', '!team'] },
    yes: [inPod({ labels: { app: 'web', tier: 'b', team: 't' } }), inPod({ labels: {} })],
    no: [inPod({ labels: { app: 'web', tier: 'c', team: 't' } })],
  },
  'labels: != and notin match where the label is missing': {
    filter: { labels: ['app!=web,tier notin (a)'] },
    yes: [inPod({ labels: {} }), inPod({ labels: { app: 'db', tier: 'b' } })],
    no: [inPod({ labels: { app: 'web' } }), inPod({ labels: { tier: 'a' } }), exec()],
  },
  'labels: numbers': {
    filter: { labels: ['rank>2,rank<9'] },
    yes: [inPod({ labels: { rank: '3' } })],
    no: [inPod({ labels: { rank: '9' } }), inPod({ labels: { rank: 'x' } }), inPod()],
  },
  'labels: a name of every object is no label': {
    filter: { labels: ['constructor'] },
    yes: [],
    no: [inPod({ labels: {} })],
  },
  'health_check: true': { filter: { health_check: true }, yes: [probe], no: [exec(), inPod()] },
  'health_check: false': { filter: { health_check: false }, yes: [exec(), orphan], no: [probe] },
  'keys are ANDed, values ORed': {
    filter: { event_set: ['PROCESS_EXEC'], binary_regex: ['vi$', 'sh$'] },
    yes: [exec(), exec({ binary: '/bin/sh' })],
    no: [makeExit(), exec({ binary: '/bin/cat' })],
  },
}

describe('filter: a key of the config', () => {
  for (const [name, { filter, yes, no }] of Object.entries(KEYS)) {
    it(name, () => {
      assert.deepEqual(
        yes.map((event) => accepts(filter, event)),
        yes.map(() => true),
      )
      assert.deepEqual(
        no.map((event) => accepts(filter, event)),
        no.map(() => false),
      )
    })
  }
})

describe("filter: Tetragon's filter in the allow list, and its inverse in the deny list", () => {
  for (const [name, { filter, yes, no }] of Object.entries(FIELDS)) {
    it(name, () => {
      for (const [events, want] of [
        [yes, true],
        [no, false],
      ] as const) {
        assert.deepEqual(
          events.map((event) => accepts({ allow: [filter] }, event)),
          events.map(() => want),
        )
        assert.deepEqual(
          events.map((event) => accepts({ deny: [filter] }, event)),
          events.map(() => !want),
        )
      }
    })
  }
})

describe('filter', () => {
  it('tags and severity: hooks of one policy differ, in any order, and the tags of a hook are evaluated once', () => {
    let reads = 0
    const hookOf = (severity: string): Hook => {
      const hook = makeHook({ policy: 'p' })
      return Object.defineProperty({ ...hook }, 'tags', { get: () => (reads++, [`severity.${severity}`]) })
    }
    const events = ['low', 'critical', 'low', 'high'].map((severity) => makeKprobe({ hook: hookOf(severity) }))
    const filter = createFilter({ severity: '>= high' })
    for (let round = 0; round < 3; round++)
      assert.deepEqual(
        events.map((event) => filter.accepts(event)),
        [false, true, false, true],
      )
    assert.equal(reads, events.length)
    assert.deepEqual(filter.filtered, { severity: 6 })
  })

  it('lists: any filter allows, any denies, deny wins', () => {
    const both: FilterConfig = {
      allow: [{ binary_regex: ['vi$'] }, { binary_regex: ['sh$'] }],
      deny: [{ arguments_regex: ['secret'] }, { pid: [9] }],
    }
    assert.equal(accepts(both, exec()), true)
    assert.equal(accepts(both, exec({ binary: '/bin/sh' })), true)
    assert.equal(accepts(both, exec({ binary: '/bin/cat' })), false)
    assert.equal(accepts(both, exec({ arguments: 'secret' })), false)
    assert.equal(accepts(both, exec({ pid: 9 })), false)
  })

  it('passes loss records with every key', () => {
    const narrow: FilterConfig = {
      policies: ['x'],
      namespaces: ['x'],
      allow: [{ event_set: ['PROCESS_EXEC'] }],
      sample: 1e-9,
    }
    assert.equal(accepts(narrow, loss), true)
    assert.equal(accepts({ deny: [{}] }, loss), true)
    assert.equal(accepts({ event_types: ['events_lost'] }, loss), true)
    assert.equal(accepts({ event_types: ['events_lost'] }, exec()), false)
    assert.equal(accepts({ event_types: ['process_exec'] }, loss), true)
  })

  it('counts refused events by the first key that refuses', () => {
    const filter = createFilter({ sample: 1e-9, binaries: ['/bin/vi'], event_types: ['process_exec'] })
    const events = [makeExit(), makeExit(), exec({ binary: '/x' }), exec(), loss]
    assert.deepEqual(
      events.map((event) => filter.accepts(event)),
      [false, false, false, false, true],
    )
    assert.deepEqual(filter.filtered, { event_types: 2, binaries: 1, sample: 1 })
  })

  it('caches by process and parent: another image of either is checked again', () => {
    const filter = createFilter({ allow: [{ parent_binary_regex: ['sh$'] }] })
    const process = makeProcess()
    const [shell, other] = [makeParent(), makeParent({ binary: '/bin/ssh-agent' })]
    const parents = [shell, other, shell, undefined, shell]
    const got = parents.map((parent) => filter.accepts(makeExec({ process, parent })))
    assert.deepEqual(got, [true, false, true, false, true])
  })

  it('caches by type: the same process with another policy or type is checked again', () => {
    const filter = createFilter({ deny: [{ policy_names: ['a'], binary_regex: ['vi'] }] })
    const process = makeProcess()
    const hooks = ['a', 'b', 'a', 'b'].map((policy) => makeHook({ policy }))
    const got = hooks.map((hook) => filter.accepts(makeKprobe({ process, hook })))
    assert.deepEqual([...got, filter.accepts(makeExec({ process }))], [false, true, false, true, true])
  })

  it('checks a process once and not at each of its events', () => {
    let reads = 0
    const process = {
      ...makeProcess(),
      get binary(): string {
        reads++
        return '/bin/vi'
      },
    }
    const filter = createFilter({ binary_regex: ['vi', 'x'], allow: [{ binary_regex: ['vi'] }] })
    for (let i = 0; i < 100; i++) assert.equal(filter.accepts(makeExec({ process, parent: undefined })), true)
    assert.equal(reads, 2)
  })

  it('samples whole processes, about the fraction, and a larger sample contains a smaller one', () => {
    const [small, large] = [0.1, 0.5].map((sample) => createFilter({ sample }))
    assert.ok(small !== undefined && large !== undefined)
    let inSmall = 0
    let inLarge = 0
    for (let i = 0; i < 20_000; i++) {
      const execId = Buffer.from(`node-1:${1_000_000_000 + i * 7919}:${i % 32768}`).toString('base64')
      const process = makeProcess({ execId })
      const passes: boolean = small.accepts(makeExec({ process }))
      assert.equal(small.accepts(makeExit({ process: { ...process } })), passes)
      if (passes) inSmall++
      if (large.accepts(makeExec({ process }))) inLarge++
      else assert.equal(passes, false)
    }
    assert.ok(Math.abs(inSmall / 20_000 - 0.1) < 0.01, `${inSmall}`)
    assert.ok(Math.abs(inLarge / 20_000 - 0.5) < 0.015, `${inLarge}`)
    assert.equal(accepts({ sample: 1 }, exec()), true)
  })
})
