"""Ways: how a page can make a browser send a packet, each with the smallest page that does it.

In a text `$U` is an address of the canary, `$H` its host and port, `$P` its port. What is not marked as a page of its
own is loaded in a frame, beside the others.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """One way."""

    html: str = ""
    """The page."""
    alone: bool = False
    """Whether it needs a page of its own."""
    headers: tuple[tuple[str, str], ...] = ()
    """More fields of the page's answer."""
    status: int = 200
    """The status of the page's answer."""


def script(text: str, *, alone: bool = False) -> Way:
    return Way(f"<script>{text}</script>", alone=alone)


def worker(text: str) -> str:
    return f"URL.createObjectURL(new Blob([{text!r}]))"


RTC = """
const c=new RTCPeerConnection({iceServers:[$S]});
c.createDataChannel('d');
c.createOffer().then(o=>c.setLocalDescription(o))
"""
PEER = """
const a=new RTCPeerConnection(), b=new RTCPeerConnection();
a.createDataChannel('d');
(async()=>{ await a.setLocalDescription(await a.createOffer()); await b.setRemoteDescription(a.localDescription);
await b.setLocalDescription(await b.createAnswer()); await a.setRemoteDescription(b.localDescription);
await a.addIceCandidate({candidate:'candidate:1 1 udp 2130706431 127.0.0.1 $P typ host',sdpMid:'0'}); })()
"""

SUBRESOURCES = {
    "img": Way("<img src=$U>"),
    "img srcset": Way("<img srcset='$U 1x'>"),
    "picture": Way("<picture><source srcset=$U><img></picture>"),
    "image by script": script("new Image().src='$U'"),
    "script": Way("<script src=$U></script>"),
    "script without scheme": Way("<script src=//$H/x></script>"),
    "module": Way("<script type=module src=$U></script>"),
    "dynamic import": script("import('$U')"),
    "import map": Way("<script type=importmap>{'imports':{'x':'$U'}}</script><script type=module>import '$U'</script>"),
    "written script": script("document.write('<script src=$U><\\/script>')"),
    "stylesheet": Way("<link rel=stylesheet href=$U>"),
    "css import": Way("<style>@import '$U';</style>"),
    "css background": Way("<style>body{background:url($U)}</style>"),
    "css image-set": Way("<style>body{background:image-set('$U' 1x)}</style>"),
    "css content": Way("<style>p::before{content:url($U)}</style><p>x"),
    "css list": Way("<style>li{list-style-image:url($U)}</style><li>x"),
    "css border": Way("<style>p{border:9px solid;border-image:url($U) 9}</style><p>x"),
    "css mask": Way("<style>p{mask-image:url($U)}</style><p>x"),
    "css font": Way("<style>@font-face{font-family:f;src:url($U)}p{font-family:f}</style><p>x"),
    "font by script": script("new FontFace('f','url($U)').load()"),
    "background attribute": Way("<body background=$U>"),
    "video": Way("<video src=$U autoplay muted></video>"),
    "video poster": Way("<video poster=$U></video>"),
    "video source": Way("<video autoplay muted><source src=$U></video>"),
    "audio": Way("<audio src=$U preload=auto></audio>"),
    "audio by script": script("new Audio('$U').load()"),
    "track": Way(
        "<video src=/empty><track default src=$U></video><script>"
        "document.querySelector('track').track.mode='showing'</script>"
    ),
    "object": Way("<object data=$U></object>"),
    "embed": Way("<embed src=$U>"),
    "iframe": Way("<iframe src=$U></iframe>"),
    "iframe srcdoc": Way("<iframe srcdoc='<img src=$U>'></iframe>"),
    "iframe sandboxed": Way("<iframe sandbox src=$U></iframe>"),
    "iframe about:blank": script(
        "const f=document.createElement('iframe');document.documentElement.append(f);"
        "f.contentDocument.write('<img src=$U>')"
    ),
    "iframe javascript": Way("<iframe src=\"javascript:'<img src=$U>'\"></iframe>"),
    "iframe data": Way("<iframe src='data:text/html,<img src=$U>'></iframe>"),
    "svg image": Way("<svg><image href=$U width=9 height=9 /></svg>"),
    "svg feImage": Way("<svg><filter id=f><feImage href=$U /></filter><rect width=9 height=9 filter=url(#f) /></svg>"),
    "input image": Way("<input type=image src=$U>"),
    "base address": Way("<base href=$U><img src=x>"),
}
HINTS = {
    "preload": Way("<link rel=preload as=image href=$U>"),
    "preload as fetch": Way("<link rel=preload as=fetch crossorigin href=$U>"),
    "modulepreload": Way("<link rel=modulepreload href=$U>"),
    "prefetch": Way("<link rel=prefetch href=$U>", alone=True),
    "preconnect": Way("<link rel=preconnect href=$U>", alone=True),
    "preconnect crossorigin": Way("<link rel=preconnect crossorigin href=$U>"),
    "dns-prefetch": Way("<link rel=dns-prefetch href=//$H>"),
    "icon": Way("<link rel=icon href=$U>", alone=True),
    "manifest": Way("<link rel=manifest crossorigin href=$U>", alone=True),
    "speculative prefetch": Way('<script type=speculationrules>{"prefetch":[{"urls":["$U"]}]}</script>', alone=True),
    "speculative prerender": Way('<script type=speculationrules>{"prerender":[{"urls":["$U"]}]}</script>', alone=True),
    "preload header": Way(headers=(("Link", "<$U>; rel=preload; as=image"),)),
    "preconnect header": Way(headers=(("Link", "<$U>; rel=preconnect"),)),
    "stylesheet header": Way(headers=(("Link", "<$U>; rel=prefetch"),), alone=True),
    "report of a policy": Way(
        "<img src=/empty>", headers=(("Content-Security-Policy", "img-src 'none'; report-uri $U"),)
    ),
    "other service": Way("<img src=/empty>", headers=(("Alt-Svc", 'h3=":$P"; ma=9'),)),
}
SCRIPTS = {
    "fetch": script("fetch('$U')"),
    "fetch no-cors": script("fetch('$U',{mode:'no-cors'})"),
    "fetch keepalive": script("fetch('$U',{keepalive:true,method:'POST',body:'x'})"),
    "fetch preflight": script("fetch('$U',{method:'PUT',headers:{a:'b'}})"),
    "fetch https": script("fetch('https://$H/')"),
    "xhr": script("const x=new XMLHttpRequest();x.open('GET','$U');x.send()"),
    "xhr at once": script("const x=new XMLHttpRequest();x.open('GET','$U',false);try{x.send()}catch(e){}"),
    "beacon": script("navigator.sendBeacon('$U','x')"),
    "websocket": script("new WebSocket('ws://$H/')"),
    "websocket tls": script("new WebSocket('wss://$H/')"),
    "eventsource": script("new EventSource('$U')"),
    "webtransport": script("new WebTransport('https://$H/')"),
    "worker fetch": script(f"new Worker({worker('fetch(`$U`)')})"),
    "worker import": script(f"new Worker({worker('importScripts(`$U`)')})"),
    "worker websocket": script(f"new Worker({worker('new WebSocket(`ws://$H/`)')})"),
    "module worker": script(
        f"new Worker({worker('import `$U`')},{{type:'module'}});new Worker({worker('import(`$U`)')},{{type:'module'}})"
    ),
    "shared worker": script(f"new SharedWorker({worker('fetch(`$U`)')})"),
    "shared worker import": script(f"new SharedWorker({worker('importScripts(`$U`)')})"),
    "service worker": script(
        "navigator.serviceWorker.register('/worker.js?fetch='+encodeURIComponent('$U'),{scope:'/1'})"
    ),
    "service worker import": script(
        "navigator.serviceWorker.register('/worker.js?import='+encodeURIComponent('$U'),{scope:'/2'})"
    ),
    "audio worklet": script("new AudioContext().audioWorklet.addModule('$U')"),
    "paint worklet": script("CSS.paintWorklet.addModule('$U')"),
    "stun": script(RTC.replace("$S", "{urls:'stun:$H'}")),
    "stun tcp": script(RTC.replace("$S", "{urls:'turn:$H?transport=tcp',username:'a',credential:'b'}")),
    "turn": script(RTC.replace("$S", "{urls:'turn:$H',username:'a',credential:'b'}")),
    "turn tls": script(RTC.replace("$S", "{urls:'turns:$H',username:'a',credential:'b'}")),
    "rtc candidate": script(PEER),
}
NAVIGATIONS = {
    "meta refresh": Way("<meta http-equiv=refresh content='0;url=$U'>", alone=True),
    "refresh header": Way(headers=(("Refresh", "0;url=$U"),), alone=True),
    "location": script("location='$U'", alone=True),
    "location replace": script("location.replace('$U')", alone=True),
    "frame location": script(
        "const f=document.createElement('iframe');document.documentElement.append(f);f.contentWindow.location='$U'"
    ),
    "window": script("window.open('$U')", alone=True),
    "window noopener": script("window.open('$U','_blank','noopener')", alone=True),
    "form": Way("<form action=$U><input name=a></form><script>document.forms[0].submit()</script>", alone=True),
    "form post": Way("<form action=$U method=post></form><script>document.forms[0].submit()</script>", alone=True),
    "form in frame": Way(
        "<iframe name=f></iframe><form target=f action=$U method=post></form>"
        "<script>document.forms[0].submit()</script>"
    ),
    "formaction": Way("<form><button formaction=$U id=b></button></form><script>b.click()</script>", alone=True),
    "link": Way("<a href=$U id=a>x</a><script>a.click()</script>", alone=True),
    "link in new tab": Way("<a href=$U id=a target=_blank>x</a><script>a.click()</script>", alone=True),
    "link download": Way("<a href=$U id=a download>x</a><script>a.click()</script>", alone=True),
    "link ping": Way("<a href='#x' id=a ping=$U>x</a><script>a.click()</script>", alone=True),
    "map": Way("<map name=m><area id=a href=$U></map><img usemap='#m'><script>a.click()</script>", alone=True),
    "redirect": Way(status=302, headers=(("Location", "$U"),), alone=True),
    "redirect kept": Way(status=307, headers=(("Location", "$U"),), alone=True),
    "redirect in frame": Way(status=302, headers=(("Location", "$U"),)),
    "redirect of image": Way("<img src='/to?$U'>"),
    "redirect of fetch": script("fetch('/to?$U',{mode:'no-cors'})"),
    "redirect of script": Way("<script src='/to?$U'></script>"),
    "redirect of websocket": script("new WebSocket('ws://'+location.host+'/to?ws://$H/')"),
}
NOTATIONS = {
    f"spelled {host}": Way(f"<img src=http://{host}:$P/x><script>fetch('http://{host}:$P/y',{{mode:'no-cors'}})</script>")
    for host in (
        "localhost", "sub.localhost", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
        "127.0.0.1.", "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]",
        "%31%32%37.0.0.1", "１２７.0.0.1", "inside.test", "changing.test",
    )
}  # fmt: skip
WAYS = {**SUBRESOURCES, **HINTS, **SCRIPTS, **NAVIGATIONS, **NOTATIONS}
