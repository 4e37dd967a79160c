/** Which programs ran, with which arguments, and how they ended. */
import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { TextBoxVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { RECORDS, logsOverTime, logsTotal, records, recordsPage, top } from './panels.ts'

const EXECS = `${RECORDS} | event_name="ktrail.process_exec" | process_executable_path=~"$process"`
const EXITS = `${RECORDS} | event_name="ktrail.process_exit" | process_executable_path=~"$process"`
const FAILED = `${EXITS} | process_exit_code!="0" | process_exit_code!=""`
const KILLED = `${EXITS} | ktrail_signal!=""`

export const processes = (): DashboardBuilder =>
  recordsPage({
    uid: 'ktrail-processes',
    title: 'ktrail: processes',
    description: 'Which programs ran, with which arguments, and how they ended.',
  })
    .withVariable(new TextBoxVariableBuilder('process').label('Program (regular expression)').defaultValue('.+'))
    .withPanel(logsTotal({ title: 'Started', width: 8 }, EXECS))
    .withPanel(logsTotal({ title: 'Ended with an error', width: 8 }, FAILED))
    .withPanel(logsTotal({ title: 'Killed by a signal', width: 8 }, KILLED))
    .withPanel(logsOverTime({ title: 'Started, by host', width: 12 }, 'service_instance_id', EXECS))
    .withPanel(logsOverTime({ title: 'Killed, by signal', width: 12 }, 'ktrail_signal', KILLED))
    .withPanel(top({ title: 'Programs', width: 8 }, 'process_executable_path', EXECS))
    .withPanel(top({ title: 'Started by', width: 8 }, 'ktrail_parent_binary', EXECS))
    .withPanel(top({ title: 'Programs that failed', width: 8 }, 'process_executable_path', FAILED))
    .withPanel(
      records(
        { title: 'Records', width: 24 },
        [
          'service_instance_id',
          'process_executable_path',
          'process_command_args',
          'process_working_directory',
          'process_user_id',
          'process_pid',
          'process_parent_pid',
          'ktrail_parent_binary',
        ],
        EXECS,
      ),
    )
