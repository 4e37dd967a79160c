/** Numbers of sockets and their names, as policies and records spell them. Source: include/linux/socket.h, include/linux/net.h, include/uapi/linux/in.h, include/net/tcp_states.h. */

type Names = ReadonlyMap<number, string>

const numbered = (prefix: string, names: string): Names =>
  new Map(
    names.split(' ').map((each): [number, string] => {
      const [name = '', number] = each.split('=')
      return [Number(number), prefix + name]
    }),
  )

export const FAMILIES: Names = numbered(
  'AF_',
  'UNSPEC=0 UNIX=1 INET=2 AX25=3 IPX=4 APPLETALK=5 NETROM=6 BRIDGE=7 ATMPVC=8 X25=9 INET6=10 ROSE=11 DECnet=12 NETBEUI=13 SECURITY=14 ' +
    'KEY=15 NETLINK=16 PACKET=17 ASH=18 ECONET=19 ATMSVC=20 RDS=21 SNA=22 IRDA=23 PPPOX=24 WANPIPE=25 LLC=26 IB=27 MPLS=28 CAN=29 TIPC=30 ' +
    'BLUETOOTH=31 IUCV=32 RXRPC=33 ISDN=34 PHONET=35 IEEE802154=36 CAIF=37 ALG=38 NFC=39 VSOCK=40 KCM=41 QIPCRTR=42 SMC=43 XDP=44 MCTP=45',
)

export const SOCKET_TYPES: Names = numbered('SOCK_', 'STREAM=1 DGRAM=2 RAW=3 RDM=4 SEQPACKET=5 DCCP=6 PACKET=10')

export const PROTOCOLS: Names = numbered(
  'IPPROTO_',
  'IP=0 ICMP=1 IGMP=2 IPIP=4 TCP=6 EGP=8 PUP=12 UDP=17 IDP=22 TP=29 DCCP=33 IPV6=41 RSVP=46 GRE=47 ESP=50 AH=51 ICMPV6=58 MTP=92 ' +
    'BEETPH=94 ENCAP=98 PIM=103 COMP=108 SCTP=132 UDPLITE=136 MPLS=137 ETHERNET=143 RAW=255 MPTCP=262',
)

export const STATES: Names = numbered(
  'TCP_',
  'ESTABLISHED=1 SYN_SENT=2 SYN_RECV=3 FIN_WAIT1=4 FIN_WAIT2=5 TIME_WAIT=6 CLOSE=7 CLOSE_WAIT=8 LAST_ACK=9 LISTEN=10 CLOSING=11 NEW_SYN_RECV=12',
)

/** The name of a number, else the number itself. */
export const nameOf = (names: Names, number: number): string => names.get(number) ?? String(number)
