/** Who touched what: files, processes, containers; what was done, and what was refused. */
import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { RECORDS, logsOverTime, logsTotal, records, recordsPage, top } from './panels.ts'
import { TextBoxVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard'

const ACCESSES = `${RECORDS} | event_name=~"ktrail.process_kprobe|ktrail.process_lsm" | file_path=~"$path" | process_executable_path=~"$process"`
/** What a policy did to the program, or had fail. */
const ACTED = `${ACCESSES} | ktrail_action!=""`
const DENIED = `${ACCESSES} | ktrail_file_denied="true"`

const READS = `${ACCESSES} | ktrail_file_access=~"read|map_read|map_exec|execute"`
const WRITES = `${ACCESSES} | ktrail_file_access=~"write|map_write|truncate|create|link|unlink|rename|chmod|chown|setattr|setxattr"`

export const fileAccess = (): DashboardBuilder =>
  recordsPage({
    uid: 'ktrail-file-access',
    title: 'ktrail: file access',
    description: 'Who touched which file, what was done to it, and what was refused.',
  })
    .withVariable(new TextBoxVariableBuilder('path').label('File (regular expression)').defaultValue('.+'))
    .withVariable(new TextBoxVariableBuilder('process').label('Program (regular expression)').defaultValue('.+'))
    .withPanel(logsTotal({ title: 'Accesses', width: 6 }, ACCESSES))
    .withPanel(logsTotal({ title: 'Reads', width: 6 }, READS))
    .withPanel(logsTotal({ title: 'Changes', width: 6 }, WRITES))
    .withPanel(logsTotal({ title: 'Refused', width: 6 }, DENIED))
    .withPanel(logsOverTime({ title: 'What was done', width: 12 }, 'ktrail_file_access', ACCESSES))
    .withPanel(logsOverTime({ title: 'Refused, by program', width: 12 }, 'process_executable_path', DENIED))
    .withPanel(top({ title: 'Files', width: 6 }, 'file_path', ACCESSES))
    .withPanel(top({ title: 'Programs', width: 6 }, 'process_executable_path', ACCESSES))
    .withPanel(
      top(
        { title: 'Pods', width: 6 },
        'k8s_namespace_name, k8s_pod_name',
        `${ACCESSES} | k8s_pod_name!=""`,
        'k8s_pod_name',
      ),
    )
    .withPanel(
      top(
        { title: 'Workloads', width: 6 },
        'k8s_namespace_name, ktrail_workload',
        `${ACCESSES} | ktrail_workload!=""`,
        'ktrail_workload',
      ),
    )
    .withPanel(top({ title: 'Containers', width: 6 }, 'container_id', `${ACCESSES} | container_id!=""`))
    .withPanel(
      top(
        { title: 'Actions of policies', width: 12 },
        'security_rule_name, ktrail_action, process_executable_path',
        ACTED,
        'ktrail_action',
      ),
    )
    .withPanel(
      records(
        { title: 'Records', width: 24 },
        [
          'service_instance_id',
          'ktrail_file_access',
          'file_path',
          'process_executable_path',
          'process_command_args',
          'process_user_id',
          'process_pid',
          'ktrail_file_denied',
          'k8s_namespace_name',
          'k8s_pod_name',
          'ktrail_workload',
          'security_rule_name',
          'ktrail_action',
        ],
        ACCESSES,
      ),
    )
