package html

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"assay/internal/report/reporttest"
)

// browser starts a Chromium for a test, or skips the test where there is none.
func browser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium on the path: the pages are not tried in a browser")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.WSURLReadTimeout(time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser at %s does not start: %v", path, err)
	}
	return ctx
}

// tab is a tab of a browser in which all that a page complains of is collected.
type tab struct {
	context.Context
	mu         sync.Mutex
	complaints []string
}

func newTab(t *testing.T, browser context.Context, pageURL string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute) // for a browser that hangs
	t.Cleanup(cancel)
	own := &tab{Context: ctx}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			own.complain("console: %v", e.Type)
		case *runtime.EventExceptionThrown:
			own.complain("exception: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			own.complain("log: %s", e.Entry.Text)
		case *page.EventJavascriptDialogOpening:
			own.complain("dialog: %s", e.Message)
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; u != pageURL && !strings.HasPrefix(u, "data:") {
				own.complain("request: %s", u)
			}
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// show opens the page as a kind of medium, in a colour scheme and in a window of so many pixels.
func (b *tab) show(t *testing.T, address, media, scheme string, width, height int64) {
	t.Helper()
	_, err := chromedp.Call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media: media, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err == nil {
		err = chromedp.Do(b, chromedp.EmulateViewport(width, height), chromedp.Navigate(address))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// evaluate runs a script in the page, as a debugger does: whatever the page's policy.
func evaluate[T any](t *testing.T, b *tab, script string) T {
	t.Helper()
	result, err := chromedp.Run(b, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (b *tab) press(t *testing.T, key string) {
	t.Helper()
	if err := chromedp.Do(b, chromedp.KeyEvent(key)); err != nil {
		t.Fatal(err)
	}
}

func (b *tab) complain(format string, a ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, fmt.Sprintf(format, a...))
}

func (b *tab) quiet(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Error(c)
	}
}

// serve gives the address of each page.
func serve(t *testing.T) map[string]string {
	t.Helper()
	pages, addresses := map[string][]byte{}, map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := w.Write(pages[strings.TrimPrefix(r.URL.Path, "/")]); err != nil {
			t.Log(err) // a tab that was closed
		}
	}))
	t.Cleanup(server.Close)
	for name, d := range reporttest.All() {
		var file bytes.Buffer
		if err := Write(&file, d); err != nil {
			t.Fatal(err)
		}
		pages[name], addresses[name] = file.Bytes(), server.URL+"/"+name
	}
	return addresses
}

// wide finds what is too wide for the window.
const wide = `const wide = () => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && (document.scrollingElement.scrollWidth === Math.ceil(e.getBoundingClientRect().right))).slice(0, 3).map(e => e.parentElement.className + ' > ' + e.outerHTML.slice(0, 80)).join(' | ');`

// audit lists what is wrong with the page as it is drawn.
const audit = `(() => {` + wide + `
  const wrong = [];
  if (document.scrollingElement.scrollWidth > innerWidth) wrong.push('the page is ' + document.scrollingElement.scrollWidth + ' wide in a window of ' + innerWidth + ': ' + wide());
  let level = 0;
  for (const h of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) {
    const next = +h.tagName[1];
    if (next > level + 1) wrong.push('heading ' + h.tagName + ' after level ' + level + ': ' + h.textContent.slice(0, 40));
    level = next;
  }
  if (document.querySelectorAll('h1').length !== 1) wrong.push('there must be one h1');
  for (const mark of ['header', 'nav', 'main', 'footer']) if (document.querySelectorAll('body > ' + mark).length !== 1) wrong.push('there must be one ' + mark);
  for (const svg of document.querySelectorAll('svg')) {
    if (svg.getAttribute('aria-hidden') === 'true') continue;
    const ids = (svg.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
    if (svg.getAttribute('role') !== 'img' || ids.length === 0 || !ids.every(id => document.getElementById(id)?.textContent.trim())) wrong.push('an svg without a name');
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id stands twice');
  for (const a of document.querySelectorAll('a')) {
    const to = a.getAttribute('href');
    if (to.startsWith('#') ? !document.getElementById(to.slice(1)) : !to.startsWith('https://')) wrong.push('a link to ' + to);
    if (!(a.getAttribute('aria-label') || a.textContent).trim()) wrong.push('a link without a name');
  }
  for (const img of document.querySelectorAll('img')) {
    if (!img.alt || !img.src.startsWith('data:image/png;base64,') || !img.complete || !img.naturalWidth) wrong.push('a picture that is not one: ' + img.src.slice(0, 60));
  }
  for (const t of document.querySelectorAll('table')) {
    if (!t.caption || [...t.querySelectorAll('th')].some(h => !h.scope)) wrong.push('a table without caption or scopes');
    if (t.scrollWidth > t.parentElement.clientWidth && getComputedStyle(t.parentElement).overflowX === 'auto' && t.parentElement.tabIndex !== 0) wrong.push('a table that no key scrolls');
  }
  if (document.querySelector('script, iframe, object, embed, form, base, link:not([rel=icon])')) wrong.push('an element that must not be there');
  for (const e of document.querySelectorAll('*')) for (const a of e.attributes) if (/^on|^style$/.test(a.name)) wrong.push('an attribute ' + a.name);
  return wrong;
})()`

// contrast lists texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
const contrast = `(() => {
  const parse = c => { const n = c.match(/[\d.]+/g).map(Number); return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const behind = e => { const layers = []; for (; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor)); return layers.reduce((below, top) => over(top, below), [255, 255, 255, 1]); };
  const wrong = new Set(); let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest('title, desc, .sprite, .skip')) continue;
    const grounds = [behind(e)], svg = e.closest('svg');
    if (svg) for (const shape of svg.querySelectorAll('.side, .band')) grounds.push(over(parse(getComputedStyle(shape).fill), grounds[0]));
    const style = getComputedStyle(e), color = parse(svg ? style.fill : style.color);
    seen++;
    for (const ground of grounds) if (ratio(over(color, ground), ground) < 4.5) wrong.add(e.tagName + '.' + (e.className.baseVal ?? e.className) + ' ' + ratio(over(color, ground), ground).toFixed(2));
  }
  return seen ? [...wrong] : ['no text was found'];
})()`

// paper lists what is wrong with the page as it is printed.
const paper = `(() => {` + wide + `
	const wrong = [];
	if (document.scrollingElement.scrollWidth > innerWidth) wrong.push('what is printed is ' + document.scrollingElement.scrollWidth + ' wide, and the paper ' + innerWidth + ': ' + wide());
	for (const d of document.querySelectorAll('details')) if (!d.querySelector('table').checkVisibility()) wrong.push('details are closed');
	if (getComputedStyle(document.body).color !== 'rgb(28, 34, 43)') wrong.push('the text is ' + getComputedStyle(document.body).color);
	return wrong;
})()`

// TestBrowser looks at every document in every form in which people see it.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes a while")
	}
	chromium, addresses := browser(t), serve(t)
	names := slices.Sorted(maps.Keys(addresses))
	for _, mode := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1280, 900}, {"dark", "dark", 1280, 900}, {"narrow", "light", 360, 800}, {"narrow-dark", "dark", 360, 800}} {
		for _, name := range names {
			t.Run(mode.name+"/"+name, func(t *testing.T) {
				b := newTab(t, chromium, addresses[name])
				b.show(t, addresses[name], "screen", mode.scheme, mode.width, mode.height)
				evaluate[[]bool](t, b, `[...document.querySelectorAll('details')].map(d => d.open = true)`)
				for _, w := range append(evaluate[[]string](t, b, audit), evaluate[[]string](t, b, contrast)...) {
					t.Error(w)
				}
				b.quiet(t)
			})
		}
	}
	t.Run("keyboard", func(t *testing.T) { keyboard(t, chromium, addresses["digits"]) })
	for _, name := range names {
		t.Run("print/"+name, func(t *testing.T) { printed(t, chromium, addresses[name], len(reporttest.All()[name].Decisions)) })
	}
}

// keyboard goes through the page with the tab key: it must reach all that can be
// acted on, show where it is, and open the details.
func keyboard(t *testing.T, chromium context.Context, address string) {
	b := newTab(t, chromium, address)
	const reach = `(() => { const e = document.activeElement; if (e === document.body) return ''; e.dataset.reached = 'yes';
		return getComputedStyle(e).outlineStyle === 'none' ? 'unseen: ' + e.outerHTML.slice(0, 80) : e.className === 'skip' ? 'skip' : e.tagName; })()`
	b.show(t, address, "screen", "light", 1280, 900)
	const actionable = `[...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(e => e.checkVisibility())`
	focused := evaluate[int](t, b, actionable+`.length`)
	if focused < 20 {
		t.Fatalf("%d elements can be reached: too few for this page", focused)
	}
	for i := range focused {
		b.press(t, "\t")
		at := evaluate[string](t, b, reach)
		if i == 0 && at != "skip" {
			t.Errorf("the first stop is %q, not the link that skips to the content", at)
		}
		if strings.HasPrefix(at, "unseen") {
			t.Error(at)
		}
		if at == "SUMMARY" {
			b.press(t, "\r")
			if !evaluate[bool](t, b, `document.activeElement.parentElement.open`) {
				t.Error("the return key does not open details")
			}
			b.press(t, "\r")
		}
	}
	missed := evaluate[int](t, b, actionable+`.filter(e => !e.dataset.reached).length`)
	if missed > 0 {
		t.Errorf("the tab key misses %d of %d elements", missed, focused)
	}
	b.quiet(t)
}

// printed prints the page from a dark screen: on white, with details open and a page for each decision at least.
func printed(t *testing.T, chromium context.Context, address string, decisions int) {
	b := newTab(t, chromium, address)
	b.show(t, address, "print", "dark", 673, 1000) // what A4 leaves between its margins
	for _, w := range append(evaluate[[]string](t, b, paper), evaluate[[]string](t, b, contrast)...) {
		t.Error(w)
	}
	pdf, err := chromedp.Run(b, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
	if err != nil {
		t.Fatal(err)
	}
	if pages := bytes.Count(pdf, []byte("/Type /Page\n")); pages < decisions+1 {
		t.Errorf("%d pages for %d decisions", pages, decisions)
	}
	b.quiet(t)
}
