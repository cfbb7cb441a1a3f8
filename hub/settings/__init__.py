"""What an operator decides about a hub: environment variables (`YARDARM_…`) over a YAML file over these defaults.

Nested values are written with two underscores (`YARDARM_GIT__POLL_INTERVAL=5`). The only place of the hub that reads
the environment. Which clusters and applications there are is no setting: that stands in Git.
"""

from hub.settings.access import ApiToken, GrantSettings, GroupSettings, LimitSettings, LoginSettings
from hub.settings.git import GitSettings, RepositoryAccess, SignaturePolicy, StatusAccess
from hub.settings.hub import HubSettings, api_token, load
from hub.settings.outside import ChartAccess, ChartSettings, CheckAccess, CheckSettings, EgressSettings
from hub.settings.running import NatsSettings, RenderSettings, RolloutSettings, TelemetrySettings
from hub.settings.section import Section

__all__ = [
    "ApiToken",
    "ChartAccess",
    "ChartSettings",
    "CheckAccess",
    "CheckSettings",
    "EgressSettings",
    "GitSettings",
    "GrantSettings",
    "GroupSettings",
    "HubSettings",
    "LimitSettings",
    "LoginSettings",
    "NatsSettings",
    "RenderSettings",
    "RepositoryAccess",
    "RolloutSettings",
    "Section",
    "SignaturePolicy",
    "StatusAccess",
    "TelemetrySettings",
    "api_token",
    "load",
]
