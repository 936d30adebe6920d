import socket

import pytest

from graphql_api.cli.listening import base_url, bound


class TestBound:
    def test_all_addresses_of_a_name_share_one_free_port(self) -> None:
        with bound("localhost", 0) as sockets:
            assert sockets
            assert len({taken.getsockname()[1] for taken in sockets}) == 1

    def test_nothing_is_answered_before_it_listens(self) -> None:
        with bound("127.0.0.1", 0) as [taken], socket.socket() as caller:
            assert caller.connect_ex(taken.getsockname()) != 0

    def test_it_is_free_again_afterwards(self) -> None:
        with bound("127.0.0.1", 0) as [taken]:
            port = taken.getsockname()[1]
        with bound("127.0.0.1", port) as [taken]:
            assert taken.getsockname()[1] == port


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("host", "url"),
        [
            ("127.0.0.1", "http://127.0.0.1:80"),
            ("0.0.0.0", "http://127.0.0.1:80"),
            ("::", "http://127.0.0.1:80"),
            ("::1", "http://[::1]:80"),
            ("box.example", "http://box.example:80"),
        ],
    )
    def test_a_browser_can_open_it(self, host: str, url: str) -> None:
        assert base_url(host, 80) == url
