/** Whether the agents see everything and deliver it, and what they cost. */
import type { DashboardBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { metricsNow, metricsOverTime, metricsPage } from './panels.ts'

const OF = '{instance=~"$instance"}'
const rate = (name: string): string => `rate(${name}${OF}[$__rate_interval])`
const sumBy = (labels: string, expr: string): string => `sum by (${labels}) (${expr})`

export const agentHealth = (): DashboardBuilder =>
  metricsPage({
    uid: 'ktrail-agent-health',
    title: 'ktrail: agent health',
    description: 'Whether the agents see everything and deliver it, and what they cost.',
  })
    .withPanel(metricsNow({ title: 'Agents', width: 6 }, `count(ktrail_build_info${OF})`))
    .withPanel(
      metricsNow(
        {
          title: 'Lost in the kernel',
          width: 6,
          description: 'Events that happened but were not recorded, in the time range.',
        },
        `sum(increase(ktrail_kernel_lost_events_total${OF}[$__range]))`,
      ),
    )
    .withPanel(
      metricsNow(
        // Files refuse nothing: without other exporters there is no sample of the second.
        { title: 'Dropped or rejected', width: 6 },
        `sum(increase(ktrail_exporter_dropped_events_total${OF}[$__range])) + (sum(increase(ktrail_exporter_rejected_events_total${OF}[$__range])) or vector(0))`,
      ),
    )
    .withPanel(
      metricsNow(
        { title: 'Not explained by the accounting', width: 6, description: 'Must be 0.' },
        `sum(abs(ktrail_accounting_imbalance_events${OF}))`,
      ),
    )
    .withPanel(
      metricsOverTime({ title: 'Events read', width: 12, unit: 'cps' }, [
        sumBy('type, policy', rate('ktrail_events_read_total')),
        '{{type}} {{policy}}',
      ]),
    )
    .withPanel(
      metricsOverTime(
        { title: 'Losses, by reason', width: 12, unit: 'cps' },
        [sumBy('hook, reason', rate('ktrail_kernel_lost_events_total')), 'kernel {{hook}} {{reason}}'],
        [sumBy('exporter, reason', rate('ktrail_exporter_dropped_events_total')), '{{exporter}} dropped: {{reason}}'],
        [sumBy('exporter, reason', rate('ktrail_exporter_rejected_events_total')), '{{exporter}} rejected: {{reason}}'],
      ),
    )
    .withPanel(
      metricsOverTime({ title: 'Delivered', width: 12, unit: 'cps' }, [
        sumBy('exporter', rate('ktrail_exporter_delivered_events_total')),
        '{{exporter}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'State of exporters', width: 12, description: 'hold needs manual action.' }, [
        `sum by (exporter, state) (ktrail_exporter_state${OF}) > 0`,
        '{{exporter}} {{state}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'Queues', width: 8, unit: 'percentunit' }, [
        `max by (instance, exporter) (ktrail_exporter_queue_bytes${OF} / ktrail_exporter_queue_limit_bytes${OF})`,
        '{{instance}} {{exporter}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'Spools', width: 8, unit: 'percentunit' }, [
        `max by (instance, exporter) (ktrail_spool_bytes${OF} / ktrail_spool_limit_bytes${OF})`,
        '{{instance}} {{exporter}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'Oldest event that waits', width: 8, unit: 's' }, [
        `max by (instance, exporter) (ktrail_exporter_oldest_event_age_seconds${OF})`,
        '{{instance}} {{exporter}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'Ring', width: 8, unit: 'percentunit' }, [
        `max by (instance) (ktrail_ring_waiting_bytes${OF} / ktrail_ring_limit_bytes${OF})`,
        '{{instance}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'From event to answer, 99 of 100', width: 8, unit: 's' }, [
        `histogram_quantile(0.99, sum by (exporter, le) (${rate('ktrail_exporter_event_latency_seconds_bucket')}))`,
        '{{exporter}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'Requests, by outcome', width: 8, unit: 'cps' }, [
        sumBy('exporter, outcome', rate('ktrail_exporter_requests_total')),
        '{{exporter}} {{outcome}}',
      ]),
    )
    .withPanel(
      metricsOverTime({ title: 'CPU', width: 8, unit: 'percentunit' }, [
        rate('ktrail_process_cpu_seconds_total'),
        '{{instance}}',
      ]),
    )
    .withPanel(
      metricsOverTime(
        { title: 'Memory', width: 8, unit: 'bytes' },
        [`ktrail_process_resident_memory_bytes${OF}`, '{{instance}} resident'],
        [sumBy('instance', `ktrail_process_table_bytes${OF}`), '{{instance}} process table'],
      ),
    )
    .withPanel(
      metricsOverTime(
        {
          title: 'Kernel time of a call, by hook',
          width: 8,
          unit: 's',
          description: 'Only while sysctl kernel.bpf_stats_enabled=1.',
        },
        [
          `${sumBy('hook', rate('ktrail_hook_run_seconds_total'))} / ${sumBy('hook', rate('ktrail_hook_runs_total'))}`,
          '{{hook}}',
        ],
      ),
    )
    .withPanel(
      metricsOverTime(
        {
          title: 'Matched calls, by policy and hook',
          width: 12,
          unit: 'cps',
          description: 'With an event, or suppressed.',
        },
        [sumBy('policy, hook', rate('ktrail_hook_events_total')), '{{policy}} {{hook}}'],
        [sumBy('policy, hook', rate('ktrail_hook_suppressed_total')), '{{policy}} {{hook}} suppressed'],
      ),
    )
    .withPanel(
      metricsOverTime(
        {
          title: 'Events and their pods',
          width: 8,
          unit: 'cps',
          description: 'That went on without what they waited for, by reason.',
        },
        [sumBy('instance, reason', rate('ktrail_enrichment_gave_up_events_total')), '{{instance}} {{reason}}'],
      ),
    )
    .withPanel(
      metricsOverTime({ title: 'Without changes from the API server', width: 8, description: 'Must be empty.' }, [
        `sum by (instance, resource) (ktrail_kubernetes_watch_up${OF}) == 0`,
        '{{instance}} {{resource}}',
      ]),
    )
    .withPanel(
      metricsOverTime(
        { title: 'Live readers', width: 8, unit: 'cps', description: 'What the slow ones lose is lost to them alone.' },
        [sumBy('instance', rate('ktrail_api_sent_events_total')), '{{instance}} sent'],
        [sumBy('instance', rate('ktrail_api_lost_events_total')), '{{instance}} lost'],
      ),
    )
    .withPanel(
      metricsOverTime({ title: 'Tampering', width: 12, description: 'Must be 0.' }, [
        `sum by (instance, kind) (ktrail_tampering_findings${OF}) > 0`,
        '{{instance}} {{kind}}',
      ]),
    )
