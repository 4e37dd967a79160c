/** Functions security_*, which call the security modules: each hook of the LSM has one. */
import { LSM_PREFIX } from '../../../config/policy/kprobe.ts'

/** security/security.c: functions that are not called security_HOOK. The argument lists are the same. */
const OTHERS: Readonly<Record<string, string>> = {
  bprm_check_security: 'bprm_check',
  sk_alloc_security: 'sk_alloc',
  socket_sock_rcv_skb: 'sock_rcv_skb',
  cred_prepare: 'prepare_creds',
  cred_transfer: 'transfer_creds',
  settime: 'settime64',
  vm_enough_memory: 'vm_enough_memory_mm',
  inode_alloc_security: 'inode_alloc',
  file_alloc_security: 'file_alloc',
  sb_alloc_security: 'sb_alloc',
  msg_msg_alloc_security: 'msg_msg_alloc',
  msg_queue_alloc_security: 'msg_queue_alloc',
  shm_alloc_security: 'shm_alloc',
  sem_alloc_security: 'sem_alloc',
}

/** The function that calls a hook of the LSM, which a program may have fail. `call`: bpf_lsm_HOOK. */
export function securityFunction(call: string): string {
  const hook = call.slice(LSM_PREFIX.length)
  return `security_${Object.hasOwn(OTHERS, hook) ? OTHERS[hook] : hook}`
}
