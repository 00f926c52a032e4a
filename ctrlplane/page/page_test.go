package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/history"
)

func document(t *testing.T, s Source) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("status %d, %q", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestDocumentHasWhatThePageBeginsWith(t *testing.T) {
	const hostile = `</script><img src=x>`
	for _, failed := range []error{nil, errors.New("the data plane is away")} {
		text := document(t, Source{
			Tail: new(history.Tail), About: func() About { return About{Name: hostile} },
			Connections: func(string) ([]connections.Connection, error) {
				return []connections.Connection{{Client: "192.0.2.1:1", Rule: hostile}}, failed
			},
		})
		if strings.Contains(text, hostile) || strings.Count(text, "</script>") != 2 {
			t.Fatalf("what is shown can end its element:\n%s", text)
		}
		_, data, _ := strings.Cut(text, begin)
		data, _, _ = strings.Cut(data, "</script>")
		var got struct {
			About       About
			Connections *found
		}
		if err := json.Unmarshal([]byte(data), &got); err != nil || got.About.Name != hostile {
			t.Errorf("%v: %s", err, data)
		}
		if c := got.Connections; (failed == nil) != (c != nil) || c != nil && (c.Total != 1 || c.Rows[0].Rule != hostile) {
			t.Errorf("connections %+v", c)
		}
	}
}

func TestListSearchesAndCountsReasonsAndHasTheLatestRefusedFirst(t *testing.T) {
	h := Handler(Source{Tail: new(history.Tail), Connections: func(state string) (list []connections.Connection, _ error) {
		for i := range 300 {
			reason := []string{"required", "bad_init"}[i%2]
			list = append(list, connections.Connection{State: state, Client: fmt.Sprintf("192.0.2.1:%d", 1000+i), Reason: reason, Because: "because " + reason, IdleS: float64(300 - i)})
		}
		return list, nil
	}})
	for _, test := range []struct {
		search   string
		matches  int
		required int
	}{{"", 300, 150}, {"REQUIRED", 150, 150}, {"192.0.2.1:1299", 1, 0}, {"nobody", 0, 0}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/connections?state=refused&q="+test.search, nil))
		var got found
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d, %v: %s", w.Code, err, w.Body)
		}
		if got.Total != 300 || got.Matches != test.matches || got.Reasons["required"] != test.required || len(got.Rows) != min(test.matches, maxRows) {
			t.Errorf("%q: %d of %d, reasons %v, %d rows", test.search, got.Matches, got.Total, got.Reasons, len(got.Rows))
		}
		if test.search == "" && (got.Rows[0].Client != "192.0.2.1:1299" || got.Rows[0].State != connections.Refused) {
			t.Errorf("the first is %+v", got.Rows[0])
		}
	}
}

func TestFewLookAtAllConnectionsAtOnceWhoeverAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const requests = 100
		looking, most, release := 0, 0, make(chan struct{})
		var mu sync.Mutex
		h := Handler(Source{
			Tail: new(history.Tail), About: func() About { return About{} },
			Connections: func(string) ([]connections.Connection, error) {
				mu.Lock()
				looking++
				most = max(most, looking)
				mu.Unlock()
				<-release
				mu.Lock()
				looking--
				mu.Unlock()
				return nil, nil
			},
		})
		var all sync.WaitGroup
		codes := make([]int, requests)
		for i := range requests {
			all.Go(func() {
				w := httptest.NewRecorder()
				path := []string{"/", "/api/connections?state=plain"}[i%2]
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
				codes[i] = w.Code
			})
		}
		synctest.Wait()
		time.Sleep(turnPatience)
		synctest.Wait()
		close(release)
		all.Wait()
		if most > looksAtOnce {
			t.Errorf("%d look at all connections at once", most)
		}
		if !slices.Contains(codes, http.StatusServiceUnavailable) || !slices.Contains(codes, http.StatusOK) {
			t.Errorf("answers %v", codes)
		}
	})
}
