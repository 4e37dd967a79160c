/** Facts about the agent: version, health, kernel, config. Also answers to requests of Tetragon's clients that ktrail does not support. */
import { create } from '@bufbuild/protobuf'
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf'
import { BoolValueSchema, Int64ValueSchema, StringValueSchema, anyPack } from '@bufbuild/protobuf/wkt'
import type { Any } from '@bufbuild/protobuf/wkt'
import { formatAddress } from '../../../config/base/addresses.ts'
import { version } from '../../../config/base/own.ts'
import type { Config } from '../../../config/agent/schema.ts'
import { atLeast } from '../../plan/facts.ts'
import type { KernelFacts } from '../../plan/facts.ts'
import { lsmRefusal } from '../../plan/functions/misfits.ts'
import {
  EventLogService,
  FineGuidanceSensors,
  HealthStatusResult,
  HealthStatusType,
} from '../../proto/tetragon/sensors_pb.js'
import { ApiError } from '../errors.ts'
import type { ApiOptions } from '../options.ts'
import type { Methods } from '../rpc.ts'

export function addInfo(methods: Methods, { config, facts, ready }: ApiOptions): void {
  const { method } = FineGuidanceSensors
  methods.unary(method.getVersion, () => ({ version: version() }))
  methods.unary(method.getHealth, () => {
    const [status, details] = ready()
      ? [HealthStatusResult.HEALTH_STATUS_RUNNING, 'running']
      : [HealthStatusResult.HEALTH_STATUS_STOPPED, 'not ready']
    return { healthStatus: [{ event: HealthStatusType.STATUS, status, details }] }
  })
  methods.unary(method.getInfo, () => ({
    version: version(),
    name: 'ktrail',
    probes: Object.entries(probesOf(facts)).map(([name, enabled]) => ({ Name: name, Enabled: enabled })),
    conf: Object.entries(confOf(config)).map(([key, value]) => ({ key, value: anyOf(value) })),
    build: {},
  }))

  for (const each of [method.listSensors, method.enableSensor, method.disableSensor, method.removeSensor]) {
    methods.unary<DescMessage, DescMessage>(each, () => {
      throw new ApiError('UNIMPLEMENTED', 'sensors are deprecated: use the calls for tracing policies')
    })
  }
  methods.unary(EventLogService.method.getEventLogParams, () => logParams(config))
  methods.unary(EventLogService.method.setEventLogParams, () => {
    throw new ApiError('UNIMPLEMENTED', 'expected a change of the config instead: exporters.NAME.rotate')
  })
}

/**
 * Features under the names of Tetragon's probes: whether policies can use them on this kernel. `signal`, `large`, `audit_loginuid`: ktrail runs on no
 * kernel without them. `substring_kfunc`: SubString is a program of our own, which needs no kfunc.
 */
export function probesOf(facts: KernelFacts): Readonly<Record<string, boolean>> {
  const { trampolines } = facts
  return {
    override_return: facts.override,
    buildid: false,
    kprobe_multi: facts.fprobe,
    uprobe_multi: false,
    fmodret: trampolines && facts.security,
    fmodret_syscall: trampolines && facts.errorInjection,
    fentry: trampolines && facts.loops,
    signal: true,
    large: true,
    link_pin: false,
    lsm: lsmRefusal(facts) === undefined,
    missed_stats_kprobe_multi: facts.fprobe && atLeast(facts, 6, 7),
    missed_stats_kprobe: atLeast(facts, 6, 7),
    batch_update: false,
    uprobe_refctroff: false,
    audit_loginuid: true,
    probe_write_user: false,
    uprobe_regs_change: false,
    mix_bpf_and_tail_calls: false,
    substring_kfunc: true,
    substring_kfunc_ignore_case: true,
  }
}

/** The config under the names of Tetragon's flags, as far as they mean the same. */
function confOf(config: Config): Readonly<Record<string, string | number | boolean>> {
  const file = fileExporter(config)
  const { grpc } = config.server
  return {
    'disable-process-cache': false,
    'enable-k8s-api': false,
    'enable-process-cred': false,
    'enable-process-ns': false,
    'log-format': config.log.format,
    'log-level': config.log.level,
    'metrics-server': formatAddress(config.server.http),
    procfs: config.procfs,
    'rb-size-total': config.ring.size,
    'server-address': grpc === 'disabled' ? '' : formatAddress(grpc),
    ...(file === undefined ? {} : { 'export-filename': file.path }),
  }
}

function anyOf(value: string | number | boolean): Any {
  if (typeof value === 'string') return anyPack(StringValueSchema, create(StringValueSchema, { value }))
  if (typeof value === 'boolean') return anyPack(BoolValueSchema, create(BoolValueSchema, { value }))
  return anyPack(Int64ValueSchema, create(Int64ValueSchema, { value: BigInt(value) }))
}

type FileExporter = Extract<Config['exporters'][string], { type: 'file' }>

/** The first one: Tetragon has one file. */
function fileExporter(config: Config): FileExporter | undefined {
  return Object.values(config.exporters).find((each): each is FileExporter => each.type === 'file')
}

const MIB = 1 << 20

function logParams(config: Config): MessageInitShape<typeof EventLogService.method.getEventLogParams.output> {
  const file = fileExporter(config)
  if (file === undefined) throw new ApiError('FAILED_PRECONDITION', 'no exporter writes to a file')
  const { max_size: maxSize, interval = 0, max_files: maxBackups } = file.rotate
  return { maxSize: Math.ceil(maxSize / MIB), rotationInterval: `${interval / 1000}s`, maxBackups }
}
