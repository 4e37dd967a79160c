/** The functions that a ReplayKernel has, and a policy that hooks them in the order of their numbers. */
import type { Symbols } from '../../../collector/plan/plan.ts'
import type { KernelFunction } from '../../../native/types.ts'

const param = (type: string): KernelFunction['params'][number] => ({ name: '', type, base: type, sizeBytes: 8 })
const returnsInt = (...types: string[]): KernelFunction => ({
  returns: 'int',
  returnsBase: 'int',
  params: types.map(param),
})

/** The file that host-agent.ts has read. */
export const FILE = '/watched/f'

/** First the hooks of a synthetic recording, in its order. */
const FUNCTIONS: Readonly<Record<string, KernelFunction>> = {
  security_file_permission: returnsInt('struct file *', 'int'),
  security_mmap_file: returnsInt('struct file *', 'unsigned long', 'unsigned long'),
  security_path_truncate: returnsInt('const struct path *'),
  security_file_truncate: returnsInt('struct file *'),
  security_inode_free: { returns: 'void', returnsBase: 'void', params: [param('struct inode *')] },
  schedule: { returns: 'void', returnsBase: 'void', params: [] },
  __x64_sys_openat: returnsInt('const struct pt_regs *'),
}
const ARGS: Readonly<Record<string, readonly string[]>> = {
  security_file_permission: ['file', 'int'],
  security_mmap_file: ['file', 'uint32', 'nop'],
  security_path_truncate: ['path'],
}

export const SYMBOLS: Symbols = {
  functionType: (name) => FUNCTIONS[name],
  functionNames: () => Object.keys(FUNCTIONS),
  tracepoints: { format: () => undefined, names: () => [] },
  generated: () => [],
  loadOf: () => '',
  memberOf: () => undefined,
}

/** The text of a policy on all of them, of the paths with these prefixes. */
export const policyOf = (name: string, prefixes: readonly string[] = []): string => `apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: { name: ${name} }
spec:
  kprobes:
${Object.entries(ARGS)
  .map(
    ([call, types]) => `    - call: ${call}
      syscall: false
      return: true
      args: [${types.map((type, index) => `{ index: ${index}, type: ${type} }`).join(', ')}]
      returnArg: { index: 0, type: int }
${prefixes.length === 0 ? '' : `      selectors: [{ matchArgs: [{ index: 0, operator: Prefix, values: ${JSON.stringify(prefixes)} }] }]\n`}`,
  )
  .join('')}`
