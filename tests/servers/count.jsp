<%@ page contentType="text/plain" trimDirectiveWhitespaces="true" %>
<%
  Integer count = (Integer) session.getAttribute("count");
  count = count == null ? 1 : count + 1;
  session.setAttribute("count", count);
%>
<%= System.getProperty("route") + " " + count %>
