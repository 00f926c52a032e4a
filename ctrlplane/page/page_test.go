package page

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
			Connections: func(bool) ([]connections.Connection, error) {
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
